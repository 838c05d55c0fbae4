//! Where a picture lies in a rendition of another shape: scaled to square pixels and never distorted. Pure.

use crate::libav::{Picture, Rect};

/// Bars narrower than this in all, in pixels, are not drawn: the picture is stretched by that little instead.
const SMALLEST_BARS: u32 = 4;

/// The part of a `width` × `height` rendition that a picture fills; the rest is black bars.
pub fn fit(picture: &Picture, width: u32, height: u32) -> Rect {
    let whole = Rect { x: 0, y: 0, width, height };
    let (num, den) = picture.pixel_aspect;
    // Display aspect as a fraction; u128 because all four factors come from the bitstream.
    let across = u128::from(picture.width) * u128::from(num);
    let down = u128::from(picture.height) * u128::from(den);
    if across == 0 || down == 0 {
        return whole;
    }
    let (w, h) = (u128::from(width), u128::from(height));
    let fitted_height = even((w * down / across).min(h), height);
    let fitted_width = even((h * across / down).min(w), width);
    if fitted_height + SMALLEST_BARS <= height {
        Rect { y: centre(height - fitted_height), height: fitted_height, ..whole }
    } else if fitted_width + SMALLEST_BARS <= width {
        Rect { x: centre(width - fitted_width), width: fitted_width, ..whole }
    } else {
        whole
    }
}

/// Whether pictures of a `from` rendition can be scaled on to a `to` rendition instead of scaling the source again:
/// it is no smaller and of the same shape within a hundredth.
pub fn cascades(from: (u32, u32), to: (u32, u32)) -> bool {
    let (a, b) = (u64::from(from.0) * u64::from(to.1), u64::from(to.0) * u64::from(from.1));
    from.0 >= to.0 && from.1 >= to.1 && a.abs_diff(b) * 100 <= a.max(b)
}

fn even(value: u128, most: u32) -> u32 {
    let value = u32::try_from(value).unwrap_or(most).min(most);
    (value & !1).max(2)
}

fn centre(bars: u32) -> u32 {
    (bars / 2) & !1
}

#[cfg(test)]
mod tests {
    use super::*;

    fn picture(width: u32, height: u32, pixel_aspect: (u32, u32)) -> Picture {
        Picture { width, height, format: 0, pixel_aspect, full_range: false, matrix: 1, interlaced: false }
    }

    #[test]
    fn pictures_keep_their_shape() {
        for (name, source, aspect, target, expected) in [
            ("same", (1280, 720), (1, 1), (1280, 720), (0, 0, 1280, 720)),
            ("rounding is no bar", (1280, 720), (1, 1), (854, 480), (0, 0, 854, 480)),
            ("4:3 in 16:9", (640, 480), (1, 1), (1280, 720), (160, 0, 960, 720)),
            ("2.4:1 in 16:9", (1920, 800), (1, 1), (1280, 720), (0, 94, 1280, 532)),
            ("PAL widescreen", (720, 576), (64, 45), (1280, 720), (0, 0, 1280, 720)),
            ("portrait in 16:9", (1080, 1920), (1, 1), (1280, 720), (438, 0, 404, 720)),
            ("odd", (853, 479), (1, 1), (854, 480), (0, 0, 854, 480)),
        ] {
            let got = fit(&picture(source.0, source.1, aspect), target.0, target.1);
            assert_eq!((got.x, got.y, got.width, got.height), expected, "{name}");
        }
    }

    #[test]
    fn hostile_aspects_give_a_rectangle_inside() {
        for aspect in [(u32::MAX, 1), (1, u32::MAX), (0, 1), (1, 0)] {
            for size in [(1, 1), (8192, 2), (2, 8192), (0, 0)] {
                let r = fit(&picture(size.0, size.1, aspect), 640, 360);
                assert!(r.width >= 2 && r.height >= 2 && r.x + r.width <= 640 && r.y + r.height <= 360, "{r:?}");
            }
        }
    }

    #[test]
    fn renditions_of_one_shape_cascade() {
        assert!(cascades((1280, 720), (854, 480)));
        assert!(cascades((854, 480), (640, 360)));
        assert!(!cascades((1280, 720), (480, 360)));
        assert!(!cascades((640, 360), (854, 480)));
    }
}
