import { expect, test } from "vitest";
import {
  attached,
  ENDED_SHOWN_MS,
  type Event,
  newSession,
  reload,
  STALL_GRACE_MS,
  step,
  view,
} from "./session";
import type { ChannelState, StatusAnswer } from "./status";

const says = (state: ChannelState, since: string = state): Event => ({
  kind: "answer",
  answer: { kind: "status", status: { state, since, title: null } },
});
const none = (kind: "not_found" | "unreachable"): Event => ({
  kind: "answer",
  answer: { kind } as StatusAnswer,
});
const media = (
  value: "detached" | "loading" | "playing" | "paused" | "stalled" | "unavailable" | "locked" | "ended",
): Event => ({
  kind: "media",
  media: value,
});

/** Applies events one second apart and gives what is shown after each. */
function run(...events: Event[]) {
  let now = 0;
  let session = newSession(now);
  const views = events.map((event) => {
    now += 1000;
    session = step(session, event, now);
    return view(session, now);
  });
  return { session, now, views, view: views.at(-1), attached: attached(session, now) };
}

test("off air, then on air by itself", () => {
  const off = run(says("offline"));
  expect([off.view, off.attached]).toEqual(["off_air", false]);
  const starting = run(says("offline"), says("starting"));
  expect([starting.view, starting.attached]).toEqual(["starting", false]);
  const { views } = run(says("offline"), says("starting"), says("live"), media("loading"), media("playing"));
  expect(views).toEqual(["off_air", "starting", "connecting", "connecting", "live"]);
});

test("a lost broadcaster is a notice over the picture, not an end", () => {
  const { views, attached } = run(
    says("live"),
    media("loading"),
    media("playing"),
    says("input_loss"),
    says("live"),
  );
  expect(views.slice(2)).toEqual(["live", "reconnecting", "live"]);
  expect(attached).toBe(true);
});

test("what is buffered is played out after the channel went off air", () => {
  const playing = run(says("live"), media("playing"), says("offline"));
  expect([playing.view, playing.attached]).toEqual(["live", true]);
  const ended = run(says("live"), media("playing"), says("offline"), media("ended"));
  expect([ended.view, ended.attached]).toEqual(["ended", false]);
  const later = ended.now + ENDED_SHOWN_MS;
  expect(view(ended.session, later)).toBe("off_air");
});

test("a picture that stands still in a channel that is off is given up", () => {
  const { session, now } = run(says("live"), media("playing"), says("offline"), media("stalled"));
  expect(attached(session, now)).toBe(true);
  expect(attached(session, now + 10_000)).toBe(false);
  const gone = step(session, media("detached"), now + 10_000);
  expect(view(gone, now + 10_000)).toBe("ended");
});

test("the end of the list is an end although the status still says live; a new session is not", () => {
  const old = run(says("live", "12:00"), media("playing"), media("ended"));
  expect([old.view, old.attached, reload(old.session)]).toEqual(["ended", true, true]);
  const fresh = step(old.session, says("live", "12:05"), old.now);
  expect([view(fresh, old.now), reload(fresh)]).toEqual(["starting", true]);
  const playing = [media("loading"), media("playing")].reduce((s, e) => step(s, e, old.now), fresh);
  expect([view(playing, old.now), reload(playing)]).toEqual(["live", false]);
});

test("reading the old list again does not restart the time that 'ended' is shown", () => {
  const first = run(says("live"), media("playing"), media("ended"));
  const again = [media("loading"), media("ended")].reduce(
    (s, e) => step(s, e, first.now + 5000),
    first.session,
  );
  expect(again.endedAt).toBe(first.session.endedAt);
});

test("on air again under the same address after an end", () => {
  const { views } = run(
    says("live", "1"),
    media("playing"),
    says("offline", "2"),
    media("ended"),
    media("detached"),
    says("starting", "3"),
    says("live", "4"),
    media("loading"),
    media("playing"),
  );
  expect(views.slice(3)).toEqual(["ended", "ended", "starting", "starting", "starting", "live"]);
});

test("without the server the picture goes on; without a picture the viewer is told", () => {
  const playing = run(says("live"), media("playing"), none("unreachable"));
  expect([playing.view, playing.attached]).toEqual(["live", true]);
  const lost = run(says("live"), media("playing"), none("unreachable"), media("unavailable"));
  expect([lost.view, lost.attached]).toEqual(["no_connection", true]);
  const never = run(none("unreachable"));
  expect([never.view, never.attached]).toEqual(["no_connection", false]);
});

test("a short stall says nothing; a long one without the server does", () => {
  const { session, now } = run(says("live"), media("playing"), none("unreachable"), media("stalled"));
  expect(view(session, now)).toBe("live");
  expect(view(session, now + STALL_GRACE_MS)).toBe("no_connection");
});

test("a server that restarts keeps the source attached while it says starting", () => {
  const { attached } = run(says("live"), media("playing"), media("unavailable"), says("starting"));
  expect(attached).toBe(true);
});

test("faults and unknown channels have words of their own", () => {
  expect(run(none("not_found")).view).toBe("not_found");
  expect(run(says("error")).view).toBe("error");
  const deleted = run(says("live"), media("playing"), none("not_found"), media("unavailable"));
  expect([deleted.view, deleted.attached]).toEqual(["not_found", false]);
  expect(run(says("live"), media("playing"), says("error")).view).toBe("live");
});

test("media whose keys cannot be had has words of its own, while it is tried again too", () => {
  const locked = [says("live"), media("loading"), media("locked"), media("loading")];
  expect(run(...locked).views).toEqual(["connecting", "connecting", "locked", "locked"]);
  expect(run(...locked).attached).toBe(true);
  expect(run(...locked, media("playing")).view).toBe("live");
  expect(run(...locked, says("offline")).view).toBe("off_air");
});

test("a paused picture stays", () => {
  const { view, attached } = run(says("live"), media("playing"), media("paused"), says("offline"));
  expect([view, attached]).toEqual(["live", true]);
});
