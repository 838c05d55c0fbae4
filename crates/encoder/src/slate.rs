//! The pictures the worker makes itself: black, and the slate that stands in for a lost contribution.

use crate::font;
use crate::libav::{Error, Frame};

/// Black in limited range.
const BLACK: u8 = 16;
/// Background of the slate: a dark grey.
const BACKGROUND: u8 = 34;
/// Text on the slate.
const TEXT: u8 = 200;
/// Chroma of grey.
const NEUTRAL: u8 = 128;

/// A black picture.
pub fn black(width: u32, height: u32) -> Result<Frame, Error> {
    filled(width, height, BLACK)
}

/// Fills an unshared picture with black.
pub fn fill(frame: &mut Frame, luma: u8) {
    for (plane, value) in [(0, luma), (1, NEUTRAL), (2, NEUTRAL)] {
        if let Some((bytes, _)) = frame.plane_mut(plane) {
            bytes.fill(value);
        }
    }
}

/// Fills an unshared picture with black.
pub fn blacken(frame: &mut Frame) {
    fill(frame, BLACK);
}

/// The slate: `text` in the middle of a dark picture, in several lines where it is long.
pub fn slate(width: u32, height: u32, text: &str) -> Result<Frame, Error> {
    let mut frame = filled(width, height, BACKGROUND)?;
    if let Some((luma, stride)) = frame.plane_mut(0) {
        draw(luma, stride, width as usize, height as usize, text);
    }
    Ok(frame)
}

fn filled(width: u32, height: u32, luma: u8) -> Result<Frame, Error> {
    let mut frame = Frame::yuv420(width, height)?;
    fill(&mut frame, luma);
    Ok(frame)
}

/// Draws `text` centred. The dots are as large as fits: at most a fortieth of the height, and the longest line within
/// nine tenths of the width.
fn draw(luma: &mut [u8], stride: usize, width: usize, height: usize, text: &str) {
    let lines = wrap(text, 24);
    let longest = lines.iter().map(Vec::len).max().unwrap_or(0);
    if longest == 0 {
        return;
    }
    let cell = font::WIDTH + 1;
    let dot = (width * 9 / 10 / (longest * cell)).min(height / 80).max(1);
    let line_height = (font::HEIGHT + 3) * dot;
    let mut top = height.saturating_sub(lines.len() * line_height) / 2;
    for line in lines {
        let mut left = width.saturating_sub(line.len() * cell * dot) / 2;
        for c in line {
            for (row, bits) in font::glyph(c).into_iter().enumerate() {
                for column in (0..font::WIDTH).filter(|column| bits & (0b10000 >> column) != 0) {
                    let (x, y) = (left + column * dot, top + row * dot);
                    for line in y..(y + dot).min(height) {
                        let from = line * stride + x.min(width);
                        let to = line * stride + (x + dot).min(width);
                        if let Some(dots) = luma.get_mut(from..to) {
                            dots.fill(TEXT);
                        }
                    }
                }
            }
            left += cell * dot;
        }
        top += line_height;
    }
}

/// Breaks a text into lines of at most `most` characters, between words where it can; at most 64 characters in all.
fn wrap(text: &str, most: usize) -> Vec<Vec<char>> {
    let mut lines: Vec<Vec<char>> = Vec::new();
    let text: String = text.chars().take(64).collect();
    for word in text.split_whitespace() {
        for piece in word.chars().collect::<Vec<_>>().chunks(most) {
            match lines.last_mut() {
                Some(line) if line.len() + 1 + piece.len() <= most => {
                    line.push(' ');
                    line.extend(piece);
                }
                _ => lines.push(piece.to_vec()),
            }
        }
    }
    lines
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_slate_has_text_in_its_middle_and_nowhere_else() {
        let mut frame = slate(640, 360, "Back in a moment").unwrap();
        let (luma, stride) = frame.plane_mut(0).unwrap();
        let lit: Vec<(usize, usize)> = (0..360)
            .flat_map(|y| (0..640).map(move |x| (x, y)))
            .filter(|(x, y)| luma[y * stride + x] == TEXT)
            .collect();
        assert!(lit.len() > 500, "{} dots", lit.len());
        assert!(lit.iter().all(|(x, y)| (64..576).contains(x) && (120..240).contains(y)));
    }

    #[test]
    fn hostile_texts_stay_inside_the_picture() {
        for text in ["", "   ", "x", &"W".repeat(1000), "ünïcödé \u{1F4A5}", &"a b ".repeat(100)] {
            for (width, height) in [(16, 16), (2, 2), (640, 360), (90, 1600)] {
                slate(width, height, text).unwrap();
            }
        }
    }

    #[test]
    fn long_texts_are_wrapped_between_words() {
        let lines: Vec<String> =
            wrap("The broadcast will be back in a moment", 24).iter().map(|l| l.iter().collect()).collect();
        assert_eq!(lines, ["The broadcast will be", "back in a moment"]);
    }
}
