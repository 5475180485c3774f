/** Sessions in a session server, which runs in a separate process. */
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdtempSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { SessionServerStore } from '../../protocols/tls/index.ts';
import { Reactor } from '../../reactor/index.ts';
import { serveResuming } from './wantio-resume.ts';

const folder = mkdtempSync(join(tmpdir(), 'wantio-bench-'));
const path = join(folder, 'sessions.sock');
const server = spawn(process.execPath, [join(import.meta.dirname, 'session-server.js'), path], {
  stdio: ['pipe', 'pipe', 'ignore'],
});
await once(server.stdout, 'data');
const reactor = new Reactor();
await serveResuming({ resumption: 'stateful', sessionStore: new SessionServerStore(reactor, { path }) }, reactor);
