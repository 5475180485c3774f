/** A session server as a separate process. Argument: the path of its socket. */

import { Reactor } from '../../../reactor/reactor.ts';
import { SessionServer } from '../../stores/session-server/session-server.ts';

const path = process.argv[2] ?? '';
await SessionServer.listen(new Reactor(), { path });
console.log(`serving ${path}`);
