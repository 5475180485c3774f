/** Sessions in LMDB. */
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { LmdbSessionStore } from '../../protocols/tls/index.ts';
import { serveResuming } from './wantio-resume.ts';

const folder = mkdtempSync(join(tmpdir(), 'wantio-bench-'));
process.on('exit', () => {
  rmSync(folder, { recursive: true, force: true });
});
await serveResuming({ resumption: 'stateful', sessionStore: new LmdbSessionStore({ path: join(folder, 'sessions') }) });
