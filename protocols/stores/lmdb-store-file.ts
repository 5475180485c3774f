/** Checks the file of an LMDB database before it is mapped into memory. */

import { open } from 'node:fs/promises';
import type { FileHandle } from 'node:fs/promises';

import { codeOf } from './files/file-store-folder.ts';
import { StoreError } from './store-error.ts';

/**
 * Checks that a file is a complete database. LMDB maps the file into memory and trusts it: another file, or one that
 * was cut off, would crash the process.
 * @throws {StoreError} unless the file is missing, empty, or begins like a database of LMDB's present format and has
 * the length that it claims.
 */
export async function checkDatabaseFile(path: string): Promise<void> {
  let file;
  try {
    file = await open(path, 'r');
  } catch (error) {
    if (codeOf(error) === 'ENOENT') return;
    throw error;
  }
  try {
    const found = await file.stat();
    if (!found.isFile()) throw new StoreError('failed', `${path} is not a file`);
    if (found.size === 0) return;
    // The first two pages describe the last two commits.
    const first = await readMeta(file, 0);
    const second = first === undefined ? undefined : await readMeta(file, first.pageSize);
    const isWhole = [first, second].every((meta) => meta !== undefined && found.size >= meta.pages * meta.pageSize);
    if (!isWhole)
      throw new StoreError('failed', `${path} is not a complete LMDB database; remove it, or set another path`);
  } finally {
    await file.close();
  }
}

/** @returns the database's size according to a meta page; `undefined` when it is not a meta page. */
async function readMeta(
  file: FileHandle,
  position: number,
): Promise<{ readonly pages: number; readonly pageSize: number } | undefined> {
  const meta = Buffer.alloc(META_BYTES);
  const { bytesRead } = await file.read(meta, 0, META_BYTES, position);
  if (bytesRead < META_BYTES || meta.readUInt32LE(MAGIC_AT) !== MAGIC) return undefined;
  return { pages: Number(meta.readBigUInt64LE(LAST_PAGE_AT)) + 1, pageSize: meta.readUInt32LE(PAGE_SIZE_AT) };
}

// lmdb 3 (data format 2), little-endian: a page header of 24 bytes, then struct MDB_meta. Compare
// libraries/liblmdb/mdb.c.
const META_AT = 24;
const MAGIC_AT = META_AT;
const PAGE_SIZE_AT = META_AT + 24;
const LAST_PAGE_AT = META_AT + 120;
const META_BYTES = META_AT + 136;
const MAGIC = 0xbeefc0de;
