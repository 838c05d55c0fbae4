// What the viewer is to see, decided from what the server says and what the media does.
// Pure: events and the time come in, a session comes out; `view` and `attached` read it.

import type { ChannelState, StatusAnswer } from "./status";

/**
 * What the media does.
 * - `detached`: no source.
 * - `loading`: a source, no picture yet.
 * - `playing`, `paused`: as they say; `stalled`: it should play and does not.
 * - `unavailable`: the source failed (a playlist's 404, 410 or 503, a lost network); it is tried again by itself.
 * - `locked`: the source's media is encrypted, and its keys cannot be had here; it is tried again by itself.
 * - `ended`: the playlist said that no more will come, and all of it was played.
 */
export type Media =
  | "detached"
  | "loading"
  | "playing"
  | "paused"
  | "stalled"
  | "unavailable"
  | "locked"
  | "ended";

/** What the page shows. */
export type View =
  | "connecting"
  | "off_air"
  | "starting"
  | "live"
  | "reconnecting"
  | "no_connection"
  | "ended"
  | "not_found"
  | "locked"
  | "error";

export interface Session {
  answer: StatusAnswer | null;
  media: Media;
  /** When `media` took its value, in ms. */
  mediaSince: number;
  /** A picture was shown since the source was attached. */
  shown: boolean;
  /** When the media ended, in ms; `null` before that and once there is a picture again. */
  endedAt: number | null;
  /** The keys of encrypted media could not be had, and no picture was shown since. */
  locked: boolean;
  /** The state and its begin that the server told when the media ended. */
  endedIn: string;
}

export type Event = { kind: "answer"; answer: StatusAnswer } | { kind: "media"; media: Media };

/** How long "ended" is shown before the channel is simply off air. */
export const ENDED_SHOWN_MS = 60_000;
/** A picture that stands still for longer than this, in a channel that is off, has ended. */
export const PLAY_OUT_MS = 8000;
/** A stall shorter than this is not worth words. */
export const STALL_GRACE_MS = 3000;

export function newSession(now: number): Session {
  return {
    answer: null,
    media: "detached",
    mediaSince: now,
    shown: false,
    endedAt: null,
    endedIn: "",
    locked: false,
  };
}

/** The server's state, or `null` if it is not known. */
export function stateOf(session: Session): ChannelState | null {
  return session.answer?.kind === "status" ? session.answer.status.state : null;
}

function stateKey(answer: StatusAnswer | null): string {
  return answer?.kind === "status" ? `${answer.status.state} ${answer.status.since}` : "";
}

export function step(session: Session, event: Event, now: number): Session {
  if (event.kind === "answer") return { ...session, answer: event.answer };
  if (event.media === session.media) return session;
  const next = { ...session, media: event.media, mediaSince: now };
  switch (event.media) {
    case "playing":
    case "paused":
      return { ...next, shown: true, endedAt: null, endedIn: "", locked: false };
    case "locked":
      return { ...next, locked: true };
    case "ended":
      // A second ending without a picture between them is the same one.
      if (session.endedAt !== null) return next;
      return { ...next, endedAt: now, endedIn: stateKey(session.answer) };
    case "detached":
      if (session.shown && session.endedAt === null && session.media !== "ended") {
        return { ...next, shown: false, locked: false, endedAt: now, endedIn: stateKey(session.answer) };
      }
      return { ...next, shown: false, locked: false };
    default:
      return next;
  }
}

/** Media that still gives, or may give, a picture. */
function running(session: Session, now: number): boolean {
  switch (session.media) {
    case "playing":
    case "paused":
      return true;
    case "loading":
    case "stalled":
      return now - session.mediaSince < PLAY_OUT_MS;
    default:
      return false;
  }
}

/** Whether the source is to be attached now. */
export function attached(session: Session, now: number): boolean {
  const is = session.media !== "detached";
  switch (stateOf(session)) {
    case "live":
    case "input_loss":
    case "draining":
      return true;
    case "starting":
      // A server that restarts says this while the player still holds on to the old session.
      return is && session.media !== "ended";
    case "offline":
    case "error":
      // What is buffered is played out.
      return is && running(session, now);
    case null:
      return is && (session.answer?.kind !== "not_found" || running(session, now));
  }
}

/** Whether a source that ended is to be asked again, because the server says that the channel is on the air. */
export function reload(session: Session): boolean {
  const state = stateOf(session);
  return session.media === "ended" && (state === "live" || state === "input_loss");
}

export function view(session: Session, now: number): View {
  const { answer, media } = session;
  const state = stateOf(session);
  if (media === "playing" || media === "paused") return state === "input_loss" ? "reconnecting" : "live";
  if (media === "stalled" && now - session.mediaSince < STALL_GRACE_MS) {
    return state === "input_loss" ? "reconnecting" : "live";
  }
  if (answer === null) return "connecting";
  if (answer.kind === "not_found") return "not_found";
  if (answer.kind === "unreachable") return "no_connection";
  switch (state) {
    case "error":
      return "error";
    case "starting":
      return "starting";
    case "offline":
      if (media === "stalled" || (media === "loading" && session.shown)) return "live";
      return recentlyEnded(session, now) ? "ended" : "off_air";
    case "draining":
      return session.endedAt === null && media !== "detached" ? waiting(session) : "ended";
    default:
      break;
  }
  // On the air, and no picture here.
  if (session.endedAt !== null) return stateKey(answer) === session.endedIn ? "ended" : "starting";
  return waiting(session);
}

/** On the air by the server's word, with no picture yet or no longer. */
function waiting(session: Session): View {
  if (stateOf(session) === "input_loss" && session.media === "stalled") return "reconnecting";
  if (session.media === "stalled") return "live";
  return session.locked ? "locked" : "connecting";
}

function recentlyEnded(session: Session, now: number): boolean {
  return session.endedAt !== null && now - session.endedAt < ENDED_SHOWN_MS;
}
