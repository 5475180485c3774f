/** Writes sessions into files until it is killed. Argument: the directory. */

import { FileSessionStore } from '../../stores/files/file-store.ts';
import { writeForEver } from './write-for-ever.ts';

await writeForEver(new FileSessionStore({ directory: process.argv[2] ?? '' }));
