//! Clocks and delays.

use embedded_hal_async::delay::DelayNs;
use zk_session::Instant;

/// Tells the time.
pub trait Clock {
    /// Milliseconds since an origin of the clock's choice, rounded down. It must not run backwards,
    /// and must go on while the device sleeps as long as the session is to.
    fn now(&self) -> Instant;
}

impl<C: Clock + ?Sized> Clock for &C {
    fn now(&self) -> Instant {
        (**self).now()
    }
}

/// A clock and a delay, from wherever they come, as the one [`Driver`](crate::Driver) takes.
#[derive(Clone, Copy, Debug)]
pub struct Timer<C, D> {
    clock: C,
    delay: D,
}

impl<C: Clock, D: DelayNs> Timer<C, D> {
    /// Joins the two.
    pub const fn new(clock: C, delay: D) -> Self {
        Self { clock, delay }
    }
}

impl<C: Clock, D> Clock for Timer<C, D> {
    fn now(&self) -> Instant {
        self.clock.now()
    }
}

impl<C, D: DelayNs> DelayNs for Timer<C, D> {
    async fn delay_ns(&mut self, ns: u32) {
        self.delay.delay_ns(ns).await;
    }

    async fn delay_us(&mut self, us: u32) {
        self.delay.delay_us(us).await;
    }

    async fn delay_ms(&mut self, ms: u32) {
        self.delay.delay_ms(ms).await;
    }
}

/// The clock and the delays of `embassy-time`.
#[cfg(feature = "embassy-time")]
#[derive(Clone, Copy, Debug, Default)]
pub struct EmbassyTimer;

#[cfg(feature = "embassy-time")]
impl Clock for EmbassyTimer {
    #[inline(never)] // it divides, and is asked for in many places
    fn now(&self) -> Instant {
        Instant::from_millis(embassy_time::Instant::now().as_millis())
    }
}

#[cfg(feature = "embassy-time")]
impl DelayNs for EmbassyTimer {
    async fn delay_ns(&mut self, ns: u32) {
        embassy_time::Timer::after_nanos(ns.into()).await;
    }

    async fn delay_us(&mut self, us: u32) {
        embassy_time::Timer::after_micros(us.into()).await;
    }

    async fn delay_ms(&mut self, ms: u32) {
        embassy_time::Timer::after_millis(ms.into()).await;
    }
}
