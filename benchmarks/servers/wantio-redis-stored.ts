/** Sessions in Redis, which runs in a separate process. */
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdtempSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { RedisSessionStore } from '../../protocols/tls/index.ts';
import { serveResuming } from './wantio-resume.ts';

const folder = mkdtempSync(join(tmpdir(), 'wantio-bench-'));
const port = 11_000 + Math.floor(Math.random() * 11_000);
// The shell ends Redis when its pipe closes, however this process ends.
const command = `redis-server --bind 127.0.0.1 --port ${port} --dir "$0" --save "" --appendonly no & cat > /dev/null; kill -9 $!; rm -rf "$0"`;
const redis = spawn('sh', ['-c', command, folder], { stdio: ['pipe', 'pipe', 'ignore'] });
for (let said = ''; !/ready to accept connections/i.test(said); said += String((await once(redis.stdout, 'data'))[0]));
await serveResuming({
  resumption: 'stateful',
  sessionStore: new RedisSessionStore({ url: `redis://127.0.0.1:${port}` }),
});
