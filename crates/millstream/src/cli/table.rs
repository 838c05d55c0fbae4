//! Answers as columns of text for people, or as JSON for scripts.

use std::io::{ErrorKind, Write};

use anyhow::Result;
use serde_json::Value;

/// Lays rows out in columns, each as wide as its widest cell, the last unpadded.
pub fn columns(rows: &[Vec<String>]) -> String {
    let count = rows.iter().map(Vec::len).max().unwrap_or(0);
    let width = |i: usize| rows.iter().filter_map(|r| r.get(i)).map(|c| c.chars().count()).max().unwrap_or(0);
    let widths: Vec<usize> = (0..count).map(width).collect();
    let mut text = String::new();
    for row in rows {
        let mut line = String::new();
        for (cell, width) in row.iter().zip(&widths) {
            line.push_str(&format!("{cell:<width$}  "));
        }
        text.push_str(line.trim_end());
        text.push('\n');
    }
    text
}

/// A JSON value as rows of name and value: one for each that is there, `input.width  1280`.
pub fn fields(value: &Value) -> String {
    let mut rows = Vec::new();
    flatten("", value, &mut rows);
    columns(&rows)
}

fn flatten(prefix: &str, value: &Value, rows: &mut Vec<Vec<String>>) {
    let below = |key: &str| if prefix.is_empty() { key.to_owned() } else { format!("{prefix}.{key}") };
    match value {
        Value::Null => {}
        Value::Object(fields) => fields.iter().for_each(|(key, value)| flatten(&below(key), value, rows)),
        Value::Array(items) => {
            items.iter().enumerate().for_each(|(i, item)| flatten(&below(&i.to_string()), item, rows));
        }
        value => rows.push(vec![prefix.to_owned(), text_of(value)]),
    }
}

/// A JSON value in a cell.
pub fn text_of(value: &Value) -> String {
    match value {
        Value::Null => String::new(),
        Value::String(text) => text.clone(),
        other => other.to_string(),
    }
}

/// Prints the server's JSON, or the text for people. An empty answer has no JSON.
///
/// # Errors
/// If it cannot be written.
pub fn print(answer: &Value, text: &str, json: bool, out: &mut dyn Write) -> Result<()> {
    if !json {
        out.write_all(text.as_bytes())?;
    } else if !answer.is_null() {
        writeln!(out, "{answer:#}")?;
    }
    Ok(out.flush()?)
}

/// Whoever reads the output may have had enough of it (`… | head`): that is no error.
///
/// # Errors
/// Any other error.
pub fn unless_cut(result: Result<()>) -> Result<()> {
    match result {
        Err(error) if error.downcast_ref::<std::io::Error>().is_some_and(|e| e.kind() == ErrorKind::BrokenPipe) => {
            Ok(())
        }
        result => result,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn columns_line_up() {
        let row = |cells: [&str; 3]| cells.map(str::to_owned).to_vec();
        let rows = [row(["NAME", "STATE", "TITLE"]), row(["a", "input_loss", "Ä b"]), row(["long-name", "", "x"])];
        assert_eq!(
            columns(&rows),
            "NAME       STATE       TITLE\na          input_loss  Ä b\nlong-name              x\n"
        );
    }
}
