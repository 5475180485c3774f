/**
 * Reads keys from standard input, one JSON array a line. Takes the sessions with these keys and prints their values.
 * Arguments: `files` or `lmdb`, and a directory.
 */

import { join } from 'node:path';
import { createInterface } from 'node:readline';

import { FileSessionStore } from '../../stores/files/file-store.ts';
import { LmdbSessionStore } from '../../stores/lmdb-store.ts';

const [kind, directory = ''] = process.argv.slice(2);
const store =
  kind === 'files'
    ? new FileSessionStore({ directory })
    : new LmdbSessionStore({ path: join(directory, 'sessions.mdb') });
// Opens the store before the race begins.
await store.take('absent');
console.log('ready');
for await (const line of createInterface({ input: process.stdin })) {
  const values = await Promise.all((JSON.parse(line) as string[]).map((key) => store.take(key)));
  console.log(
    JSON.stringify(values.map((value) => (value === undefined ? null : Buffer.from(value).toString('base64')))),
  );
}
await store.close();
