/** Sessions in memory, sealed. */
import { MemorySessionStore } from '../../protocols/tls/index.ts';
import { serveResuming } from './wantio-resume.ts';

await serveResuming({ resumption: 'stateful', sessionStore: new MemorySessionStore() });
