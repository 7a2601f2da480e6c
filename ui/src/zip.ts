// Zips made in the browser: files as they are, so that a folder can be sent like an archive.

/** A file with its path in the folder that it was chosen with. */
export interface Entry {
  path: string;
  file: File;
}

const MOST_ENTRIES = 65_535; // more, or larger files, need another format of zip
const MOST_BYTES = 4_000_000_000;
const UTF8 = 0x0800; // names are UTF-8
const DATE = 0x21; // 1 January 1980: the zip of the same files is the same zip

/** Return the files of a folder as a zip, without compression. */
export async function zipOf(entries: readonly Entry[]): Promise<Blob> {
  const size = entries.reduce((sum, { file }) => sum + file.size, 0);
  if (entries.length > MOST_ENTRIES || size > MOST_BYTES)
    throw new Error("The folder is too large to be zipped here: zip it yourself, and send that.");
  const parts: BlobPart[] = [];
  const directory: BlobPart[] = [];
  let offset = 0;
  let length = 0;
  for (const { path, file } of entries) {
    const name = new TextEncoder().encode(path);
    const [sum, bytes] = await checked(file);
    const common = fields([
      [2, 20],
      [2, UTF8],
      [2, 0],
      [2, 0],
      [2, DATE],
      [4, sum],
      [4, bytes],
      [4, bytes],
      [2, name.length],
      [2, 0],
    ]);
    const local = [fields([[4, 0x04034b50]]), common, name];
    const central = [
      fields([
        [4, 0x02014b50],
        [2, 20],
      ]),
      common,
      fields([
        [2, 0],
        [2, 0],
        [2, 0],
        [4, 0],
        [4, offset],
      ]),
      name,
    ];
    parts.push(...local, file);
    directory.push(...central);
    offset += sizeOf(local) + bytes;
    length += sizeOf(central);
  }
  const end = fields([
    [4, 0x06054b50],
    [2, 0],
    [2, 0],
    [2, entries.length],
    [2, entries.length],
    [4, length],
    [4, offset],
    [2, 0],
  ]);
  return new Blob([...parts, ...directory, end], { type: "application/zip" });
}

function sizeOf(parts: readonly Uint8Array[]): number {
  return parts.reduce((sum, part) => sum + part.length, 0);
}

/** Return numbers of 2 or 4 bytes, the lowest byte first. */
function fields(values: readonly [2 | 4, number][]): Uint8Array<ArrayBuffer> {
  const bytes: number[] = [];
  for (const [size, value] of values)
    for (let at = 0; at < size; at++) bytes.push((value >>> (8 * at)) & 0xff);
  return Uint8Array.from(bytes);
}

const TABLE = Uint32Array.from({ length: 256 }, (_, index) => {
  let value = index;
  for (let bit = 0; bit < 8; bit++) value = value & 1 ? (value >>> 1) ^ 0xedb88320 : value >>> 1;
  return value;
});

/** Return the CRC-32 of a file, and its size. */
async function checked(file: File): Promise<[number, number]> {
  let sum = 0xffffffff;
  let size = 0;
  const reader = file.stream().getReader();
  for (;;) {
    const { done, value } = await reader.read();
    if (done) return [(sum ^ 0xffffffff) >>> 0, size];
    for (const byte of value) sum = (sum >>> 8) ^ TABLE[(sum ^ byte) & 0xff]!;
    size += value.length;
  }
}
