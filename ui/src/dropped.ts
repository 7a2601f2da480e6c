// What was chosen or dropped: a zip, or a folder with the files in it.

import type { Entry } from "./zip.js";

/** An experiment as somebody has it on the disk; `left` counts hidden files, which aren't sent. */
export interface Chosen {
  name: string;
  zip: File | null;
  entries: Entry[];
  left: number;
}

/** Return the experiment in files chosen by a form. */
export function ofFiles(files: Iterable<File>): Chosen {
  return chosen(
    Array.from(files, (file) => ({ path: file.webkitRelativePath || file.name, file })),
  );
}

/** Return the experiment in what was dropped; call it in the event itself, whose data end with it. */
export async function ofDrop(data: DataTransfer): Promise<Chosen> {
  const found = Array.from(data.items, (item) => item.webkitGetAsEntry()).filter(
    (it) => it !== null,
  );
  if (!found.length) return ofFiles(data.files);
  const entries: Entry[] = [];
  for (const each of found) await collect(each, entries);
  return chosen(entries);
}

async function collect(entry: FileSystemEntry, into: Entry[]): Promise<void> {
  const path = entry.fullPath.replace(/^\//, "");
  if (entry.isFile) {
    const file = await new Promise<File>((done, failed) =>
      (entry as FileSystemFileEntry).file(done, failed),
    );
    into.push({ path, file });
    return;
  }
  const reader = (entry as FileSystemDirectoryEntry).createReader();
  for (;;) {
    // A reader answers a part of a folder at a time, and nothing at the end.
    const part = await new Promise<FileSystemEntry[]>((done, failed) =>
      reader.readEntries(done, failed),
    );
    if (!part.length) return;
    for (const each of part) await collect(each, into);
  }
}

function chosen(all: Entry[]): Chosen {
  const [only] = all;
  if (all.length === 1 && only && /\.zip$/i.test(only.path))
    return { name: nameOf(only.path.replace(/\.zip$/i, "")), zip: only.file, entries: [], left: 0 };
  const entries = all.filter(({ path }) => !isHidden(path));
  const folder = folderOf(entries);
  return { name: nameOf(folder), zip: null, entries, left: all.length - entries.length };
}

function isHidden(path: string): boolean {
  return path.split("/").some((part) => part.startsWith(".") || part === "__pycache__");
}

function folderOf(entries: Entry[]): string {
  const first = entries[0]?.path.split("/") ?? [];
  const top = first.length > 1 ? first[0]! : "";
  return entries.every(({ path }) => path.startsWith(top + "/")) ? top : "";
}

/** Return a name that the storage takes, as close to what a file is called as can be. */
function nameOf(path: string): string {
  const last = path.split("/").pop() ?? "";
  return last
    .normalize("NFKD")
    .replace(/[^A-Za-z0-9._-]+/g, "-")
    .replace(/^[^A-Za-z0-9]+|-+$/g, "")
    .slice(0, 80);
}
