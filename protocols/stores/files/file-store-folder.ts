/** Helpers for a directory of records that is private to one user. */

import { constants } from 'node:fs';
import { lstat, mkdir, open, rename, unlink } from 'node:fs/promises';
import type { FileHandle } from 'node:fs/promises';

import { RECORD_AT_MOST } from './file-store-record.ts';
import { StoreError } from '../store-error.ts';

/**
 * Makes the directory if it is missing; the directory above must exist.
 * @throws {StoreError} unless it is a directory of this user in which no other user can write.
 */
export async function privateDirectory(path: string): Promise<void> {
  try {
    // Not recursive: Node's recursive mkdir never returns where nothing can be made, such as in /proc.
    await mkdir(path, { mode: 0o700 });
  } catch (error) {
    if (codeOf(error) !== 'EEXIST') throw error;
  }
  const found = await lstat(path);
  // A symbolic link is refused: its target may change after this check.
  if (!found.isDirectory()) throw new StoreError('failed', `${path} is not a directory`);
  if (process.getuid !== undefined && (found.uid !== process.getuid() || (found.mode & OTHERS_WRITE) !== 0))
    throw new StoreError('failed', `${path} must belong to this user, and no other user may write to it: chmod 700`);
}

/** @returns up to `maxBytes` of a regular file; `undefined` when it does not exist or is longer than any record. */
export async function readRegular(path: string, maxBytes = RECORD_AT_MOST): Promise<Buffer | undefined> {
  let file: FileHandle | undefined;
  try {
    // O_NOFOLLOW refuses a symbolic link; O_NONBLOCK does not wait for the other end of a pipe.
    file = await open(path, constants.O_RDONLY | constants.O_NOFOLLOW | constants.O_NONBLOCK);
    const { size } = await present(file);
    if (size > RECORD_AT_MOST) return undefined;
    const bytes = Buffer.allocUnsafeSlow(Math.min(size, maxBytes));
    let length = 0;
    while (length < bytes.length) {
      const { bytesRead } = await file.read(bytes, length, bytes.length - length, length);
      if (bytesRead === 0) break;
      length += bytesRead;
    }
    return bytes.subarray(0, length);
  } catch (error) {
    if (error instanceof NoRecord || MISSES.has(codeOf(error))) return undefined;
    throw error;
  } finally {
    await file?.close();
  }
}

/**
 * Writes `bytes` to `path` in one atomic step: they are written to `temporary`, a path that no other writer uses, and
 * the file is renamed. A reader sees the old file or the new one.
 */
export async function replaceFile(path: string, temporary: string, bytes: Uint8Array): Promise<void> {
  const file = await open(temporary, 'wx', 0o600);
  try {
    try {
      await file.writeFile(bytes);
    } finally {
      await file.close();
    }
    await rename(temporary, path);
  } catch (error) {
    await removeFile(temporary);
    throw error;
  }
}

/**
 * Renames a file in one atomic step.
 * @returns whether the file existed. Of several concurrent calls, in any process, only one gets `true`.
 */
export async function moveFile(path: string, to: string): Promise<boolean> {
  return unlessAbsent(rename(path, to));
}

/** Removes a file. @returns whether it existed. */
export async function removeFile(path: string): Promise<boolean> {
  return unlessAbsent(unlink(path));
}

/** @returns the system's code of `error`, such as `ENOENT`; empty when it has none. */
export function codeOf(error: unknown): string {
  return error instanceof Error && 'code' in error && typeof error.code === 'string' ? error.code : '';
}

/** @returns whether `change` found its file. */
async function unlessAbsent(change: Promise<void>): Promise<boolean> {
  try {
    await change;
    return true;
  } catch (error) {
    if (codeOf(error) !== 'ENOENT' && codeOf(error) !== 'ENOTDIR') throw error;
    return false;
  }
}

async function present(file: FileHandle): Promise<{ readonly size: number }> {
  const found = await file.stat();
  if (!found.isFile()) throw new NoRecord();
  return found;
}

class NoRecord extends Error {}

// Nothing there; a symbolic link; a file in place of a directory above; a device or socket without a peer; a directory.
const MISSES = new Set(['ENOENT', 'ELOOP', 'ENOTDIR', 'ENXIO', 'EISDIR']);
const OTHERS_WRITE = 0o022;
