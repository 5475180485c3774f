/** A session server on the given path. */
import { rmSync } from 'node:fs';
import { dirname } from 'node:path';
import { SessionServer } from '../../protocols/tls/index.ts';
import { Reactor } from '../../reactor/index.ts';

await SessionServer.listen(new Reactor(), { path: process.argv[2] });
console.log('listening');
// It ends when the process that started it ends.
process.stdin.resume().on('end', () => {
  rmSync(dirname(process.argv[2]), { recursive: true, force: true });
  process.exit(0);
});
