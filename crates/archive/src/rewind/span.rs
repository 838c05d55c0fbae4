//! Which time a request means, given the time that it is and what the channel keeps.

use std::time::Duration;

use millstream_delivery::shift::{Depth, Shift};
use millstream_media::time::UtcTime;

/// The longest list: 24 h, about 43,200 segments and 2 MB. Further back is reached with `start` or `time_delay`.
pub const LONGEST: Duration = Duration::from_secs(24 * 3600);

/// What a list shows.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Span {
    /// Media from here on.
    pub from: UtcTime,
    /// Media before this.
    pub until: UtcTime,
    /// Segments that end by then.
    pub complete: UtcTime,
    /// How the list changes.
    pub form: Form,
    /// Everything is that much later.
    pub delay: Duration,
}

/// How a list changes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Form {
    /// It moves with the time and is this deep.
    Moving(Duration),
    /// It grows and keeps its start.
    Growing,
    /// It stays as it is.
    Final,
}

/// Why there is no list.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Outside {
    /// Older than what the channel keeps.
    TooOld,
    /// It has not been yet.
    NotYet,
    /// The delay is longer than what the channel keeps.
    Delay,
}

/// What of a channel decides.
#[derive(Clone, Copy, Debug)]
pub struct Channel {
    /// End of the newest media while it is on the air, else the time of day.
    pub now: UtcTime,
    /// The end of its media, when nothing more comes.
    pub ended: Option<UtcTime>,
    /// `dvr_seconds`.
    pub dvr: Duration,
    /// Length of the live list.
    pub list: Duration,
}

/// The span that `shift` means.
///
/// # Errors
/// [`Outside`].
pub fn span(shift: &Shift, channel: &Channel) -> Result<Span, Outside> {
    let depth = channel.dvr.max(channel.list);
    let delay = Duration::from_secs(shift.delay_seconds.into());
    if delay > depth {
        return Err(Outside::Delay);
    }
    // Who is behind sees the rest of what has ended; then the depth counts back from the end.
    let newest = channel.ended.map_or(channel.now, |end| channel.now.min(end));
    let now = (channel.now - delay).min(newest);
    let more = channel.ended.is_none_or(|end| now < end);
    let Some(start) = shift.start else {
        let wanted = match shift.depth {
            None => channel.list,
            Some(Depth::Whole) => depth,
            Some(Depth::Seconds(seconds)) => Duration::from_secs(seconds.into()).clamp(channel.list, depth),
        };
        let deep = wanted.min(LONGEST);
        let form = if more { Form::Moving(deep) } else { Form::Final };
        let until = UtcTime(i64::MAX);
        return Ok(Span { from: now - deep, until, complete: now, form, delay });
    };
    // A segment and a moment of grace: a player that began within the window still gets its list once more.
    if start < newest - depth - channel.list {
        return Err(Outside::TooOld);
    }
    if start >= now {
        return Err(Outside::NotYet);
    }
    let until = shift.end.unwrap_or(UtcTime(i64::MAX)).min(start + LONGEST);
    let form = if more && until > now { Form::Growing } else { Form::Final };
    Ok(Span { from: start, until, complete: now, form, delay })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(seconds: i64) -> UtcTime {
        UtcTime::from_millis(seconds * 1000)
    }

    fn channel() -> Channel {
        let seconds = Duration::from_secs;
        Channel { now: at(1_000_000), ended: None, dvr: seconds(7200), list: seconds(60) }
    }

    #[test]
    fn what_the_parameters_mean() {
        let shift = |query| Shift::parse(Some(query)).unwrap();
        let of = |query| span(&shift(query), &channel()).map(|s| (s.from, s.complete, s.form));
        let moving = |seconds| Form::Moving(Duration::from_secs(seconds));
        assert_eq!(of("time_delay=100"), Ok((at(999_840), at(999_900), moving(60))));
        assert_eq!(of("dvr"), Ok((at(992_800), at(1_000_000), moving(7200))));
        assert_eq!(of("dvr=600"), Ok((at(999_400), at(1_000_000), moving(600))));
        assert_eq!(of("dvr=90000"), Ok((at(992_800), at(1_000_000), moving(7200))));
        assert_eq!(of("dvr=1"), Ok((at(999_940), at(1_000_000), moving(60))));
        assert_eq!(of("start=999000"), Ok((at(999_000), at(1_000_000), Form::Growing)));
        assert_eq!(of("start=999000&end=999500"), Ok((at(999_000), at(1_000_000), Form::Final)));
        assert_eq!(of("start=999000&end=1000500"), Ok((at(999_000), at(1_000_000), Form::Growing)));
        assert_eq!(of("start=999000&end=999500&time_delay=600"), Ok((at(999_000), at(999_400), Form::Growing)));
        assert_eq!(of("start=900000"), Err(Outside::TooOld));
        assert_eq!(of("start=1000001"), Err(Outside::NotYet));
        assert_eq!(of("time_delay=7201"), Err(Outside::Delay));
    }

    #[test]
    fn what_has_ended_counts_back_from_its_end() {
        let ended = Channel { ended: Some(at(900_000)), ..channel() };
        let of = |query| span(&Shift::parse(Some(query)).unwrap(), &ended).map(|s| (s.from, s.complete, s.form));
        assert_eq!(of("dvr"), Ok((at(892_800), at(900_000), Form::Final)));
        assert_eq!(of("dvr=600"), Ok((at(899_400), at(900_000), Form::Final)));
        assert_eq!(of("start=899000"), Ok((at(899_000), at(900_000), Form::Final)));
        assert_eq!(of("start=892000"), Err(Outside::TooOld));
        assert_eq!(of("start=900000"), Err(Outside::NotYet));
        // Who is behind by 100 s sees the rest.
        let ended = Channel { ended: Some(at(999_970)), ..channel() };
        let of = |query| span(&Shift::parse(Some(query)).unwrap(), &ended).map(|s| (s.complete, s.form));
        assert_eq!(of("time_delay=100"), Ok((at(999_900), Form::Moving(Duration::from_secs(60)))));
        assert_eq!(of("time_delay=20"), Ok((at(999_970), Form::Final)));
    }

    #[test]
    fn no_list_is_longer_than_a_day() {
        let channel = Channel { dvr: Duration::from_secs(14 * 86_400), ..channel() };
        let of = |query| span(&Shift::parse(Some(query)).unwrap(), &channel).unwrap();
        assert_eq!(of("dvr").form, Form::Moving(LONGEST));
        assert_eq!((of("start=500000").until, of("start=500000").form), (at(586_400), Form::Final));
    }
}
