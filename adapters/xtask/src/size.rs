//! The subcommand `size`: what a session takes of a Cortex-M3, and what each of its abilities adds.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result, bail, ensure};
use object::{Object, ObjectSection, SectionFlags, SectionKind};

use crate::build;

/// Bytes that nothing may exceed. The flash is what has been reached, not what is wished for, which
/// is 12 KiB through all of the adapter; a byte more is to be a decision.
const BUDGETS: [(Figure, usize); 5] = [
    (Figure::Adapter, CORE_AND_ADAPTER),
    (Figure::Core, CORE),
    (Figure::State, 768),
    (Figure::Stack, 1024),
    (Figure::Request, 24),
];
const CORE_AND_ADAPTER: usize = 25_600;
const CORE: usize = 18_688;

/// What is held to a budget.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Figure {
    Adapter,
    Core,
    State,
    Stack,
    Request,
}

impl Figure {
    const fn name(self) -> &'static str {
        match self {
            Self::Adapter => "flash of a session through `zk-session-embedded`, over TCP alone",
            Self::Core => "flash of a session of the core alone, over nothing",
            Self::State => "a session's state, beside the buffers it is lent",
            Self::Stack => "stack of the deepest call of the session",
            Self::Request => "a request in flight",
        }
    }
}

/// The programs of `examples/size` and what they add to the session.
const ABILITIES: [(&str, &str); 11] = [
    ("add_watch", "watches that stay: addWatch, setWatches2"),
    ("remove_watches", "removeWatches"),
    ("children", "getChildren"),
    ("close", "close, and a new session after the end"),
    ("deadlines", "deadlines of requests, cancelling, delete"),
    ("add_auth", "credentials, said again on every connection"),
    ("sasl", "SASL"),
    ("read_only", "read-only servers, and the search for one that can write"),
    ("ticket", "tickets, with their watches"),
    ("multi", "multi"),
    (
        "requests",
        "requests of any kind and replies to all of them (with multi, credentials, deadlines)",
    ),
];
/// Those in which the standard library leaves a panic.
const WITH_PANICS: [(&str, &str); 1] =
    [("update_hosts", "changes of the list of hosts (panics: those of `core::net`'s parser)")];
const LOGS: [(&str, &str); 2] = [
    ("defmt", "`defmt` at level info, over semihosting"),
    ("log", "`log` at level trace, with the formatting of text"),
];

const DOCUMENT: &str = "docs/size.md";
const BEGIN: &str = "<!-- written by `cargo xtask size --record` -->\n";
const END: &str = "<!-- until here -->\n";

/// What to do with the figures.
#[derive(Clone, Debug, clap::Args)]
pub(crate) struct Options {
    /// Also writes the table to docs/size.md.
    #[arg(long)]
    record: bool,
}

/// Bytes of a program.
#[derive(Clone, Copy, Debug, Default)]
struct Size {
    flash: usize,
    ram: usize,
}

/// Measures everything.
pub(crate) fn run(options: &Options) -> Result<()> {
    let firmware = sizes(&build::release(
        "firmware",
        &["--no-default-features", "--bin", "baseline", "--bin", "budget"],
    )?)?;
    // That these link at all proves that no panic can be reached in them.
    let bare = sizes(&build::release("size", &["--bins"])?)?;
    let loose = build::release(
        "size",
        &["--features", "panics", "--bin", "update_hosts", "--bin", "stack"],
    )?;
    let measured = stack(loose.get("stack").context("cargo built no stack")?)?;
    let loose = sizes(&loose)?;
    let (base, session) = (of(&bare, "empty")?, of(&bare, "session")?);

    let most = measured.iter().filter(|(call, _)| !["state", "request"].contains(&&***call));
    let (deepest, stack) =
        most.max_by_key(|(_, bytes)| **bytes).context("the stack was not measured")?;
    let network = (of(&firmware, "baseline")?, of(&firmware, "budget")?);
    let figures = BTreeMap::from([
        (Figure::Adapter, network.1.flash.saturating_sub(network.0.flash)),
        (Figure::Core, session.flash.saturating_sub(base.flash)),
        (Figure::State, *measured.get("state").context("the state was not measured")?),
        (Figure::Stack, *stack),
        (Figure::Request, *measured.get("request").context("the request was not measured")?),
    ]);

    let mut table = String::from("| what | bytes | budget |\n| --- | ---: | ---: |\n");
    let mut over = Vec::new();
    for (figure, budget) in BUDGETS {
        let bytes = *figures.get(&figure).context("a figure is missing")?;
        writeln!(table, "| {} | {} | {} |", figure.name(), grouped(bytes), grouped(budget))?;
        if bytes > budget {
            over.push(format!("{}: {bytes} bytes of {budget}", figure.name()));
        }
    }
    let ram = network.1.ram.saturating_sub(network.0.ram);
    writeln!(table, "| static RAM through the adapter, over TCP alone | {} | |", grouped(ram))?;
    writeln!(table, "\nThe deepest call is `{deepest}`.\n")?;
    table.push_str("| with | flash more |\n| --- | ---: |\n");
    let mut rows = Vec::new();
    for (name, what) in ABILITIES {
        rows.push((what, of(&bare, name)?.flash.saturating_sub(session.flash)));
    }
    for (name, what) in WITH_PANICS {
        rows.push((what, of(&loose, name)?.flash.saturating_sub(session.flash)));
    }
    for (feature, what) in LOGS {
        let built = build::release("size", &["--features", feature, "--bin", "session"])?;
        rows.push((what, of(&sizes(&built)?, "session")?.flash.saturating_sub(session.flash)));
    }
    for (what, bytes) in rows {
        writeln!(table, "| {what} | {} |", grouped(bytes))?;
    }
    let server = of(&bare, "server")?.flash.saturating_sub(base.flash);
    writeln!(
        table,
        "\nThe server's side (a connection and a session tracker on lent memory): {} bytes of flash.",
        grouped(server)
    )?;

    println!("{table}");
    if options.record {
        record(&table)?;
    }
    ensure!(over.is_empty(), "over budget:\n{}", over.join("\n"));
    Ok(())
}

fn of(sizes: &BTreeMap<String, Size>, name: &str) -> Result<Size> {
    sizes.get(name).copied().with_context(|| format!("cargo built no {name}"))
}

fn sizes(programs: &BTreeMap<String, PathBuf>) -> Result<BTreeMap<String, Size>> {
    programs.iter().map(|(name, path)| Ok((name.clone(), size(path)?))).collect()
}

/// What of a program lies in flash, what in RAM: what has values at the start is in both.
fn size(path: &Path) -> Result<Size> {
    let bytes = fs::read(path).with_context(|| format!("cannot read {}", path.display()))?;
    let file = object::File::parse(&*bytes)?;
    let mut size = Size::default();
    for section in file.sections() {
        let SectionFlags::Elf { sh_flags } = section.flags() else { continue };
        let loaded = sh_flags & u64::from(object::elf::SHF_ALLOC) != 0;
        let bytes = usize::try_from(section.size())?;
        let zeros = section.kind() == SectionKind::UninitializedData;
        if loaded && !zeros {
            size.flash += bytes;
        }
        if loaded && (zeros || sh_flags & u64::from(object::elf::SHF_WRITE) != 0) {
            size.ram += bytes;
        }
    }
    Ok(size)
}

/// Runs the program that measures stack: a name and a number a line.
fn stack(program: &Path) -> Result<BTreeMap<String, usize>> {
    let out = Command::new("timeout")
        .args(["-k", "5", "60", "qemu-system-arm", "-machine", "mps2-an385", "-cpu", "cortex-m3"])
        .args(["-display", "none", "-monitor", "none", "-serial", "none"])
        .args(["-semihosting-config", "enable=on,target=native", "-kernel"])
        .arg(program)
        .output()
        .context("cannot run qemu-system-arm")?;
    let text = String::from_utf8_lossy(&out.stdout).into_owned();
    if !out.status.success() {
        bail!("the session did not go as it should, {}:\n{text}", out.status);
    }
    text.lines()
        .map(|line| {
            let (call, bytes) = line.rsplit_once(' ').context("the stack's figures")?;
            Ok((call.to_owned(), bytes.parse()?))
        })
        .collect()
}

/// Thousands apart.
fn grouped(number: usize) -> String {
    match number / 1000 {
        0 => number.to_string(),
        thousands => format!("{},{:03}", grouped(thousands), number % 1000),
    }
}

fn record(table: &str) -> Result<()> {
    let path = build::root().join(DOCUMENT);
    let text = fs::read_to_string(&path).with_context(|| format!("cannot read {DOCUMENT}"))?;
    let marks = text
        .split_once(BEGIN)
        .and_then(|(before, rest)| rest.split_once(END).map(|(_, after)| (before, after)));
    let (before, after) =
        marks.with_context(|| format!("{DOCUMENT} has no place for the table"))?;
    fs::write(&path, format!("{before}{BEGIN}\n{table}\n{END}{after}"))?;
    println!("written to {DOCUMENT}");
    Ok(())
}
