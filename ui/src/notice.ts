// What went well, said for a moment at the edge of the page. Errors are shown where they happen, never here.

/** Says "notice", a CustomEvent with the text. */
export const notices = new EventTarget();

export function notice(text: string): void {
  notices.dispatchEvent(new CustomEvent("notice", { detail: text }));
}
