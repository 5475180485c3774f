/** A temporary directory for one test. */

import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';

/** Calls `use` with the path of a new directory, and removes the directory afterwards. */
export async function withFolder(use: (folder: string) => Promise<void>): Promise<void> {
  const { folder, remove } = newFolder();
  try {
    await use(folder);
  } finally {
    remove();
  }
}

/** @returns a new directory that only this user can read, and a function that removes it. */
export function newFolder(): { readonly folder: string; readonly remove: () => void } {
  const folder = mkdtempSync(join(tmpdir(), 'wantio-'));
  return {
    folder,
    remove: () => {
      rmSync(folder, { recursive: true, force: true });
    },
  };
}
