//! Filters of whole pictures: deinterlacing of those that are flagged interlaced (bwdif; others pass through untouched),
//! and turning of those that a camera took askew.

use std::ffi::CString;
use std::ptr;

use ffmpeg_sys as ff;

use super::frame::{Frame, Picture};
use super::{Error, check, no_memory};

/// A filter graph for pictures of one shape. It holds one picture back.
pub struct Deinterlacer {
    graph: *mut ff::AVFilterGraph,
    source: *mut ff::AVFilterContext,
    sink: *mut ff::AVFilterContext,
    shape: (u32, u32, i32),
}

// SAFETY: a graph has one owner and is used from one thread at a time.
unsafe impl Send for Deinterlacer {}

impl Deinterlacer {
    /// A deinterlacer for pictures like `picture`; time stamps are nanoseconds.
    pub fn new(picture: &Picture) -> Result<Deinterlacer, Error> {
        Self::with(picture, &[(c"bwdif", Some("mode=send_frame:deint=interlaced"))])
    }

    /// Turns pictures clockwise by quarter turns (1 to 3) and holds none back.
    pub fn turning(picture: &Picture, quarter_turns: u8) -> Result<Deinterlacer, Error> {
        match quarter_turns {
            1 => Self::with(picture, &[(c"transpose", Some("dir=clock"))]),
            3 => Self::with(picture, &[(c"transpose", Some("dir=cclock"))]),
            _ => Self::with(picture, &[(c"hflip", None), (c"vflip", None)]),
        }
    }

    fn with(picture: &Picture, filters: &[(&std::ffi::CStr, Option<&str>)]) -> Result<Deinterlacer, Error> {
        let doing = "setting up the deinterlacer";
        // SAFETY: no preconditions.
        let graph = unsafe { ff::avfilter_graph_alloc() };
        if graph.is_null() {
            return Err(no_memory(doing));
        }
        let shape = (picture.width, picture.height, picture.format);
        let mut made = Deinterlacer { graph, source: ptr::null_mut(), sink: ptr::null_mut(), shape };
        let (num, den) = picture.pixel_aspect;
        let input = format!(
            "video_size={}x{}:pix_fmt={}:time_base=1/1000000000:pixel_aspect={num}/{den}",
            picture.width, picture.height, picture.format
        );
        // SAFETY: the graph is valid and owns the filters made in it; dropping `made` frees all of them.
        unsafe {
            // One thread: the work is small, and slices would only add threads.
            (*graph).nb_threads = 1;
            create(&mut made.source, c"buffer", c"in", Some(&input), graph)?;
            let mut last = made.source;
            for (kind, arguments) in filters {
                let mut filter = ptr::null_mut();
                create(&mut filter, kind, kind, *arguments, graph)?;
                check(ff::avfilter_link(last, 0, filter, 0), doing)?;
                last = filter;
            }
            create(&mut made.sink, c"buffersink", c"out", None, graph)?;
            check(ff::avfilter_link(last, 0, made.sink, 0), doing)?;
            check(ff::avfilter_graph_config(graph, ptr::null_mut()), doing)?;
        }
        Ok(made)
    }

    /// Whether pictures like this one can go in.
    pub fn fits(&self, picture: &Picture) -> bool {
        self.shape == (picture.width, picture.height, picture.format)
    }

    /// Puts a picture in; `None` says that no more will come.
    pub fn send(&mut self, frame: Option<Frame>) -> Result<(), Error> {
        // SAFETY: the source belongs to the graph; it takes the frame's buffers, the frame itself stays ours.
        unsafe {
            let code = match frame {
                Some(mut frame) => ff::av_buffersrc_add_frame(self.source, frame.as_mut_ptr()),
                None => ff::av_buffersrc_add_frame(self.source, ptr::null_mut()),
            };
            check(code, "deinterlacing").map(drop)
        }
    }

    /// Takes a picture out, if one is ready. Its time stamp is in nanoseconds.
    pub fn receive(&mut self) -> Result<Option<Frame>, Error> {
        let mut frame = Frame::empty()?;
        // SAFETY: the sink belongs to the graph, the frame is empty.
        let code = unsafe { ff::av_buffersink_get_frame(self.sink, frame.as_mut_ptr()) };
        if code == ff::AVERROR(libc::EAGAIN) || code == ff::AVERROR_EOF {
            return Ok(None);
        }
        check(code, "deinterlacing")?;
        // SAFETY: the sink is configured.
        let base = unsafe { ff::av_buffersink_get_time_base(self.sink) };
        if let (Some(pts), true) = (frame.pts(), base.num > 0 && base.den > 0) {
            let nanos = i128::from(pts) * i128::from(base.num) * 1_000_000_000 / i128::from(base.den);
            frame.set_pts(nanos as i64);
        }
        Ok(Some(frame))
    }
}

impl Drop for Deinterlacer {
    fn drop(&mut self) {
        // SAFETY: owned, not used again; frees its filters too.
        unsafe { ff::avfilter_graph_free(&mut self.graph) };
    }
}

/// Makes one filter in `graph`.
///
/// # Safety
/// `graph` is a valid graph.
unsafe fn create(
    out: &mut *mut ff::AVFilterContext,
    kind: &std::ffi::CStr,
    name: &std::ffi::CStr,
    arguments: Option<&str>,
    graph: *mut ff::AVFilterGraph,
) -> Result<(), Error> {
    let doing = "setting up the deinterlacer";
    let arguments = arguments.and_then(|a| CString::new(a).ok());
    let arguments = arguments.as_ref().map_or(ptr::null(), |a| a.as_ptr());
    // SAFETY: the caller vouches for the graph; an unknown filter is null and refused here.
    unsafe {
        let filter = ff::avfilter_get_by_name(kind.as_ptr());
        if filter.is_null() {
            return Err(Error { doing, code: ff::AVERROR_FILTER_NOT_FOUND });
        }
        let code = ff::avfilter_graph_create_filter(out, filter, name.as_ptr(), arguments, ptr::null_mut(), graph);
        check(code, doing).map(drop)
    }
}
