//! The table, in Markdown.

use crate::args::Args;
use crate::meter::Figures;
use crate::peer::{Name, Result};
use crate::rounds::{Client, Measured};
use crate::work::{IDLE_TIMEOUT, TOLD_TIMEOUT};

/// Prints all rows: spans are the least and the most of the rounds, ratios those of one round.
pub(crate) fn print(measured: &[Measured], args: &Args) {
    println!("`min .. max` of {} rounds, {} ms each.\n", args.rounds, args.time.as_millis());
    let (idle, busy): (Vec<_>, Vec<_>) = measured.iter().partition(|row| row.work.is_idle());
    if !busy.is_empty() {
        println!(
            "| what | client | CPU, µs | ratio to the floor | system calls | 1,000/s | p50, µs | ratio |"
        );
        println!("| --- | --- | ---: | ---: | ---: | ---: | ---: | ---: |");
    }
    for row in busy {
        let mut title = format!("{} ({})", row.work.title(), row.server.name());
        for client in &row.peers {
            let title = std::mem::take(&mut title);
            let cells = busy_cells(client, floor(row)).unwrap_or_else(|error| error + " | | | | |");
            println!("| {title} | {} | {cells} |", client.peer.title());
        }
    }
    if idle.is_empty() {
        return;
    }
    println!(
        "\n| what | client | memory each, KiB | pings at {} s, share of a core |",
        TOLD_TIMEOUT.as_secs()
    );
    println!("| --- | --- | ---: | ---: |");
    for row in idle {
        let mut title = row.work.title();
        for client in &row.peers {
            let title = std::mem::take(&mut title);
            let cells = idle_cells(client).unwrap_or_else(|error| error + " |");
            println!("| {title} | {} | {cells} |", client.peer.title());
        }
    }
}

fn floor(row: &Measured) -> Option<Vec<Figures>> {
    let floor = row.peers.iter().find(|client| client.peer == Name::Floor)?;
    floor.rounds.iter().cloned().collect::<Result<_>>().ok()
}

fn busy_cells(client: &Client, floor: Option<Vec<Figures>>) -> Result<String> {
    let rounds = client.rounds.iter().cloned().collect::<Result<Vec<Figures>>>()?;
    let ratios = |of: fn(&Figures) -> f64| {
        let Some(floor) = &floor else { return String::new() };
        span(rounds.iter().zip(floor).map(|(ours, floor)| of(ours) / of(floor)))
    };
    let one_at_a_time = rounds.iter().all(|round| round.p50.is_some());
    Ok([
        span(rounds.iter().map(Figures::cpu_micros)),
        ratios(Figures::cpu_micros),
        client.calls.map(|calls| format!("{calls:.3}")).unwrap_or_default(),
        span(rounds.iter().map(|round| round.per_second() / 1000.0)),
        if one_at_a_time { span(rounds.iter().map(median)) } else { String::new() },
        if one_at_a_time { ratios(median) } else { String::new() },
    ]
    .join(" | "))
}

fn median(figures: &Figures) -> f64 {
    figures.p50.unwrap_or_default().as_secs_f64() * 1e6
}

fn idle_cells(client: &Client) -> Result<String> {
    let rounds = client.rounds.iter().cloned().collect::<Result<Vec<Figures>>>()?;
    let each = rounds.iter().map(|round| round.session_bytes.unwrap_or_default() / 1024.0);
    // So many times rarer are pings at the timeout that is told of.
    let rarer = TOLD_TIMEOUT.as_secs_f64() / IDLE_TIMEOUT.as_secs_f64();
    let pings =
        |round: &Figures| round.cpu.as_secs_f64() / round.wall.as_secs_f64() / rarer * 100.0;
    Ok(format!("{} | {} %", span(each), span(rounds.iter().map(pings))))
}

/// The least and the most, with three digits that count.
fn span(values: impl Iterator<Item = f64>) -> String {
    let fold = |(min, max): (f64, f64), value: f64| (min.min(value), max.max(value));
    let (min, max) = values.fold((f64::MAX, f64::MIN), fold);
    let digits = match max {
        max if max >= 100.0 => 0,
        max if max >= 10.0 => 1,
        max if max >= 1.0 => 2,
        _ => 3,
    };
    format!("{min:.digits$} .. {max:.digits$}")
}
