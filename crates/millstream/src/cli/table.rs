//! Columns of text for people; scripts use `--json`.

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
