/** Holds a read transaction of an LMDB database open until it is killed. Argument: the path of the database. */

import { open } from 'lmdb';

const database = open({ path: process.argv[2] ?? '', noSubdir: true, encoding: 'binary' });
const transaction = database.useReadTransaction();
database.get('key', { transaction });
process.stdout.write(`reading as ${String(process.pid)}\n`);
setInterval(() => {
  database.get('key', { transaction });
}, 1_000);
