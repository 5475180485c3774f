/**
 * Fills a store on a disk that is too small for it, and prints the outcome as JSON.
 * Arguments: `files` or `lmdb`, and a directory.
 */

import { join } from 'node:path';

import { FileSessionStore } from '../../stores/files/file-store.ts';
import { LmdbSessionStore } from '../../stores/lmdb-store.ts';
import { StoreError } from '../../stores/store-error.ts';

const [kind, directory = ''] = process.argv.slice(2);
const store =
  kind === 'files'
    ? new FileSessionStore({ directory })
    : new LmdbSessionStore({ path: join(directory, 'sessions.mdb') });

/** @returns whether the value was set. @throws every error that is not a `StoreError`. */
async function set(key: string, size: number): Promise<boolean> {
  try {
    await store.set(key, new Uint8Array(size).fill(7), 60_000);
    return true;
  } catch (error) {
    if (error instanceof StoreError) return false;
    throw error;
  }
}

const before = await set('before', 100);
let refused = 0;
for (let index = 0; index < 12; index++) if (!(await set(`large-${String(index)}`, 60_000))) refused++;
const kept = (await store.get('before'))?.length;
const lost = await store.get('large-11');
await store.remove('large-0');
await store.close();
console.log(JSON.stringify({ before, refused, kept, lost: lost === undefined }));
