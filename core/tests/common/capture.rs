//! The captured frames: JSON lines in directories, in the format of `tests/vectors/README.md`.

use std::fs;
use std::path::{Path, PathBuf};

use serde_json::Value;

/// One line that carries bytes.
pub(crate) struct Frame {
    /// The file, as the directory was given, and the line in it from 1: what an editor opens.
    pub(crate) origin: String,
    /// The scenario, which is the file's name without its extension.
    pub(crate) scenario: String,
    /// The number the line gives itself.
    pub(crate) n: u64,
    /// The label of the connection.
    pub(crate) conn: String,
    /// What the bytes are: `request`, `reply`, ...
    pub(crate) kind: String,
    /// The bytes with their length, if they are a frame.
    pub(crate) bytes: Vec<u8>,
    /// What they say; null where they are malformed.
    pub(crate) decoded: Value,
}

/// What is committed beside the tests.
pub(crate) fn committed(version: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/vectors").join(version)
}

/// Every frame of the `.jsonl` files in and below a directory, in the order of their names.
///
/// # Errors
/// What cannot be read, or is not in the format.
pub(crate) fn read(directory: &Path) -> Result<Vec<Frame>, String> {
    let mut files = Vec::new();
    find(directory, &mut files)?;
    files.sort();
    let mut frames = Vec::new();
    for file in &files {
        read_file(file, &mut frames)?;
    }
    Ok(frames)
}

fn find(directory: &Path, files: &mut Vec<PathBuf>) -> Result<(), String> {
    let blame = |error| format!("{}: {error}", directory.display());
    for entry in fs::read_dir(directory).map_err(blame)? {
        let path = entry.map_err(blame)?.path();
        if path.is_dir() {
            find(&path, files)?;
        } else if path.extension().is_some_and(|extension| extension == "jsonl") {
            files.push(path);
        }
    }
    Ok(())
}

fn read_file(file: &Path, frames: &mut Vec<Frame>) -> Result<(), String> {
    let text = fs::read_to_string(file).map_err(|error| format!("{}: {error}", file.display()))?;
    let scenario = file.file_stem().unwrap_or_default().to_string_lossy().into_owned();
    // The first line describes the scenario.
    for (index, line) in text.lines().enumerate().skip(1) {
        let origin = format!("{}:{}", file.display(), index + 1);
        let line: Value =
            serde_json::from_str(line).map_err(|error| format!("{origin}: {error}"))?;
        if line.get("event").is_some() {
            continue;
        }
        let field = |name: &str| {
            let value = line.get(name).and_then(Value::as_str).map(str::to_owned);
            value.ok_or_else(|| format!("{origin}: no {name}"))
        };
        let hex = field("hex")?;
        let bytes = unhex(&hex).ok_or_else(|| format!("{origin}: not hex: {hex}"))?;
        let (conn, kind) = (field("conn")?, field("kind")?);
        let n = line.get("n").and_then(Value::as_u64).unwrap_or_default();
        let decoded =
            line.get("decoded").cloned().ok_or_else(|| format!("{origin}: no decoded"))?;
        frames.push(Frame { scenario: scenario.clone(), n, conn, kind, bytes, decoded, origin });
    }
    Ok(())
}

/// Two hex digits a byte, as in the files.
pub(crate) fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

fn unhex(text: &str) -> Option<Vec<u8>> {
    let digit = |digit: &u8| char::from(*digit).to_digit(16).and_then(|d| u8::try_from(d).ok());
    let byte = |pair: &[u8]| match pair {
        [high, low] => Some(digit(high)? << 4 | digit(low)?),
        _ => None,
    };
    text.as_bytes().chunks(2).map(byte).collect()
}
