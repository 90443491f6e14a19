//! A session's ticket in flash memory, safe from power that fails at any moment.

use core::fmt;
use core::ops::Range;

use embassy_sync::blocking_mutex::raw::RawMutex;
use embedded_storage_async::nor_flash::NorFlash;
use zk_session::client::{ExportError, TicketContents, crc32};

use crate::Session;

/// Keeps a [ticket](Session::ticket) through a restart or a deep sleep.
///
/// There are two places, written in turn: the newer ticket stays whole and readable until the next
/// one is. A place that was not written to its end, or not erased to its end, is not taken for a
/// ticket: `crc32:u32 "ZKT1" number:u32 len:u32 ticket`, big-endian. Every save erases one place:
/// count on as many as the flash endures erasures, times two.
///
/// A ticket speaks for the session: whoever can read the flash can. Each method may be dropped at
/// any point, which is no worse than a loss of power.
///
/// ```
/// # use embassy_sync::blocking_mutex::raw::NoopRawMutex;
/// # use embedded_storage_async::nor_flash::NorFlash;
/// # use zk_session::client::TicketContents;
/// # use zk_session_embedded::{Session, StoreError, TicketStore};
/// # async fn sleep<F: NorFlash>(session: &Session<'_, NoopRawMutex>, flash: F) -> Result<(), StoreError<F::Error>> {
/// let mut store = TicketStore::new(flash, 0xf000..0x1_1000)?; // two places of 4 KiB
/// store.save(session, TicketContents::Session, &mut [0; 128]).await?;
/// session.detach(); // the ensemble keeps the session until its timeout; now sleep
/// // After the reset: store.load(&mut memory), then session.resume(.., ticket, ..)
/// # Ok(())
/// # }
/// ```
#[derive(Debug)]
pub struct TicketStore<F> {
    flash: F,
    /// Where the two places begin.
    places: [u32; 2],
    /// Bytes of each.
    size: u32,
}

/// Why a ticket was not saved or loaded.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
#[non_exhaustive]
pub enum StoreError<E> {
    /// The region does not begin and end between two of the flash's erasable blocks, is not within
    /// the flash, or holds fewer than two blocks.
    Region,
    /// There is no ticket to save.
    Ticket(ExportError),
    /// The memory that was handed over is too small.
    MemoryTooSmall {
        /// Bytes needed.
        needed: usize,
    },
    /// A place is too small for the ticket.
    PlaceTooSmall {
        /// Bytes needed.
        needed: usize,
    },
    /// The flash's own error.
    Flash(E),
}

impl<E: fmt::Debug> fmt::Display for StoreError<E> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Region => f.write_str("the region is not two or more blocks of the flash"),
            Self::Ticket(error) => write!(f, "{error}"),
            Self::MemoryTooSmall { needed } => write!(f, "{needed} bytes of memory are needed"),
            Self::PlaceTooSmall { needed } => write!(f, "a place needs {needed} bytes"),
            Self::Flash(error) => write!(f, "flash: {error:?}"),
        }
    }
}

impl<E: fmt::Debug> core::error::Error for StoreError<E> {}

const SUM: usize = 4;
const MAGIC: &[u8; 4] = b"ZKT1";
const HEAD: usize = SUM + MAGIC.len() + 4 + 4;

/// What lies in a place.
#[derive(Clone, Copy)]
struct Found {
    place: usize,
    number: u32,
    len: usize,
}

impl<F: NorFlash> TicketStore<F> {
    /// Uses this region of the flash: two halves of whole erasable blocks, at least one each.
    ///
    /// # Errors
    /// [`StoreError::Region`].
    pub fn new(flash: F, region: Range<u32>) -> Result<Self, StoreError<F::Error>> {
        let block = u32::try_from(F::ERASE_SIZE).map_err(|_| StoreError::Region)?;
        let aligned = |at: u32| at.checked_rem(block) == Some(0);
        let within = usize::try_from(region.end).is_ok_and(|end| end <= flash.capacity());
        let blocks = region.end.saturating_sub(region.start).checked_div(block).unwrap_or(0);
        let size = (blocks / 2).saturating_mul(block);
        if !aligned(region.start) || !aligned(region.end) || !within || size == 0 {
            return Err(StoreError::Region);
        }
        let places = [region.start, region.start.saturating_add(size)];
        Ok(Self { flash, places, size })
    }

    /// Gives the flash back.
    pub fn release(self) -> F {
        self.flash
    }

    /// Saves the session's ticket. `memory` is for work: 16 bytes more than the ticket, rounded up to
    /// what the flash reads and writes at once; 128 bytes do without watches on most chips.
    ///
    /// # Errors
    /// [`StoreError`]; the ticket before stays, whatever happens.
    pub async fn save<M: RawMutex>(
        &mut self,
        session: &Session<'_, M>,
        contents: TicketContents,
        memory: &mut [u8],
    ) -> Result<(), StoreError<F::Error>> {
        let newest = self.newest(memory).await?;
        let (place, number) = match newest {
            Some(found) => (1_usize.saturating_sub(found.place), found.number.wrapping_add(1)),
            None => (0, 0),
        };
        let too_small = StoreError::MemoryTooSmall { needed: HEAD };
        let (head, body) = memory.split_at_mut_checked(HEAD).ok_or(too_small)?;
        let len = session.ticket(contents, body).map_err(|error| match error {
            ExportError::Memory(error) => {
                StoreError::MemoryTooSmall { needed: error.needed.saturating_add(HEAD) }
            }
            error => StoreError::Ticket(error),
        })?;
        let mut fields = head.chunks_exact_mut(4).skip(1);
        let wire_len = u32::try_from(len).unwrap_or(0);
        for value in [*MAGIC, number.to_be_bytes(), wire_len.to_be_bytes()] {
            if let Some(field) = fields.next() {
                field.copy_from_slice(&value);
            }
        }
        let end = HEAD.saturating_add(len);
        let sum = crc32(0, memory.get(SUM..end).unwrap_or_default());
        if let Some(field) = memory.first_chunk_mut::<SUM>() {
            *field = sum.to_be_bytes();
        }
        let needed = end.next_multiple_of(F::WRITE_SIZE);
        let Some(record) = memory.get_mut(..needed) else {
            return Err(StoreError::MemoryTooSmall { needed });
        };
        if let Some(rest) = record.get_mut(end..) {
            rest.fill(0xff);
        }
        self.write(place, record).await
    }

    async fn write(&mut self, place: usize, record: &[u8]) -> Result<(), StoreError<F::Error>> {
        let start = self.places.get(place).copied().unwrap_or_default();
        let needed = record.len();
        if u32::try_from(needed).map_or(true, |needed| needed > self.size) {
            return Err(StoreError::PlaceTooSmall { needed });
        }
        let end = start.saturating_add(self.size);
        self.flash.erase(start, end).await.map_err(StoreError::Flash)?;
        self.flash.write(start, record).await.map_err(StoreError::Flash)
    }

    /// The newest ticket that is whole, for [`Session::resume`]; none if there is none. `memory` must
    /// hold the ticket and 16 bytes, rounded up to what the flash reads at once.
    ///
    /// # Errors
    /// [`StoreError::Flash`], [`StoreError::MemoryTooSmall`].
    pub async fn load<'m>(
        &mut self,
        memory: &'m mut [u8],
    ) -> Result<Option<&'m [u8]>, StoreError<F::Error>> {
        let Some(newest) = self.newest(memory).await? else { return Ok(None) };
        let end = HEAD.saturating_add(newest.len);
        let needed = end.next_multiple_of(F::READ_SIZE);
        if needed > memory.len() {
            return Err(StoreError::MemoryTooSmall { needed });
        }
        if newest.place == 0 {
            // The other was read last.
            self.read(newest.place, memory).await?;
        }
        Ok(memory.get(HEAD..end))
    }

    /// Forgets both tickets, as after the end of the session.
    ///
    /// # Errors
    /// [`StoreError::Flash`].
    pub async fn clear(&mut self) -> Result<(), StoreError<F::Error>> {
        let [start, other] = self.places;
        let end = other.saturating_add(self.size);
        self.flash.erase(start, end).await.map_err(StoreError::Flash)
    }

    async fn newest(&mut self, memory: &mut [u8]) -> Result<Option<Found>, StoreError<F::Error>> {
        let first = self.read(0, memory).await?;
        let second = self.read(1, memory).await?;
        Ok(match (first, second) {
            // Numbers wrap: the newer one is ahead by less than half of them.
            (Some(a), Some(b)) if a.number.wrapping_sub(b.number) < u32::MAX / 2 => Some(a),
            (a, b) => b.or(a),
        })
    }

    /// Reads a place, as much of it as there is memory for at a time, and says what ticket lies there.
    /// If it fits the memory it is there then.
    async fn read(
        &mut self,
        place: usize,
        memory: &mut [u8],
    ) -> Result<Option<Found>, StoreError<F::Error>> {
        let start = self.places.get(place).copied().unwrap_or_default();
        let window =
            memory.len().saturating_sub(memory.len().checked_rem(F::READ_SIZE).unwrap_or(0));
        let least = HEAD.next_multiple_of(F::READ_SIZE);
        if window < least {
            return Err(StoreError::MemoryTooSmall { needed: least });
        }
        let size = usize::try_from(self.size).unwrap_or(0);
        // Until the head is known, as much as it takes.
        let (mut at, mut end, mut sum) = (0, HEAD, 0);
        let mut head = None;
        while at < end {
            let bytes = memory.get_mut(..window.min(size.saturating_sub(at))).unwrap_or_default();
            let offset = u32::try_from(at).unwrap_or(u32::MAX);
            self.flash
                .read(start.saturating_add(offset), bytes)
                .await
                .map_err(StoreError::Flash)?;
            if head.is_none() {
                let Some(read) = Head::read(bytes) else { return Ok(None) };
                end = HEAD.saturating_add(read.len);
                if end > size {
                    return Ok(None);
                }
                head = Some(read);
            }
            let skipped = SUM.saturating_sub(at);
            let summed = bytes.get(skipped..bytes.len().min(end.saturating_sub(at)));
            sum = crc32(sum, summed.unwrap_or_default());
            at = at.saturating_add(bytes.len());
        }
        let whole = head.filter(|head| head.sum == sum);
        Ok(whole.map(|head| Found { place, number: head.number, len: head.len }))
    }
}

/// What a record begins with.
struct Head {
    sum: u32,
    number: u32,
    len: usize,
}

impl Head {
    fn read(bytes: &[u8]) -> Option<Self> {
        let [s1, s2, s3, s4, magic @ .., n1, n2, n3, n4, l1, l2, l3, l4] =
            bytes.first_chunk::<HEAD>()?;
        (magic == MAGIC).then_some(Self {
            sum: u32::from_be_bytes([*s1, *s2, *s3, *s4]),
            number: u32::from_be_bytes([*n1, *n2, *n3, *n4]),
            len: usize::try_from(u32::from_be_bytes([*l1, *l2, *l3, *l4])).ok()?,
        })
    }
}
