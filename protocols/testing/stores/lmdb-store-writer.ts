/** Writes sessions into an LMDB database until it is killed. Argument: the path of the database. */

import { LmdbSessionStore } from '../../stores/lmdb-store.ts';
import { writeForEver } from './write-for-ever.ts';

await writeForEver(new LmdbSessionStore({ path: process.argv[2] ?? '' }));
