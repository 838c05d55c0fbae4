// The words on the picture, by what the viewer is to see.

import type { View } from "./session";

export interface Card {
  label: string;
  title: string;
  text: string;
  /** Something is under way: a quiet movement says so. */
  busy: boolean;
}

/** The card that stands in for the picture; `null` while there is a picture. */
export function card(view: View, name: string, recorded = false): Card | null {
  if (recorded && view === "not_found") {
    return {
      label: "Not found",
      title: `There is no recording “${name}”`,
      text: "It may have been deleted, or the address is wrong.",
      busy: false,
    };
  }
  switch (view) {
    case "live":
    case "reconnecting":
      return null;
    case "connecting":
      return { label: "", title: name, text: "Connecting…", busy: true };
    case "starting":
      return { label: "Starting", title: name, text: "The broadcast begins in a moment.", busy: true };
    case "off_air":
      return {
        label: "Off air",
        title: name,
        text: "There is no broadcast right now. This page starts by itself when it begins.",
        busy: false,
      };
    case "ended":
      return {
        label: "Ended",
        title: name,
        text: "The broadcast has ended. This page starts by itself if it comes back.",
        busy: false,
      };
    case "no_connection":
      return {
        label: "No connection",
        title: name,
        text: "The server does not answer. Trying again by itself.",
        busy: true,
      };
    case "not_found":
      return {
        label: "Not found",
        title: `There is no channel “${name}”`,
        text: "Check the address. If the channel is created, this page starts by itself.",
        busy: false,
      };
    case "locked":
      return {
        label: "Protected",
        title: name,
        text: "The broadcast is encrypted, and this page cannot get its keys. Open it over https, in a current browser.",
        busy: false,
      };
    case "error":
      return {
        label: "Fault",
        title: name,
        text: "The channel has a fault on the server. This page starts by itself once it is mended.",
        busy: false,
      };
  }
}

/** One line for the page around the player. */
export function stateLine(view: View, recorded = false): string {
  if (recorded && (view === "live" || view === "ended")) return "Recording";
  switch (view) {
    case "live":
      return "Live";
    case "reconnecting":
      return "The broadcaster is reconnecting";
    case "connecting":
      return "Connecting";
    case "starting":
      return "Starting";
    case "off_air":
      return "Off air";
    case "ended":
      return "Ended";
    case "no_connection":
      return "No connection to the server";
    case "not_found":
      return "Not found";
    case "locked":
      return "Protected";
    case "error":
      return "Fault on the server";
  }
}

export const RECONNECTING_NOTICE = "Waiting for the broadcaster to return";
export const SHORTCUTS: readonly (readonly [string, string])[] = [
  ["Space, K", "Play or pause"],
  ["L", "Go to live"],
  ["M", "Mute"],
  ["↑ ↓", "Volume"],
  ["← →", "Back or forward 5 seconds"],
  ["F", "Full screen"],
  ["P", "Picture in picture"],
  ["C", "Captions"],
  ["?", "This list"],
];
