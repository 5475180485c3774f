/** The process of the load generators. It runs one load at a time. */
import { answer, type Count, type LoadPlan, type LoadRequest } from '../messages.ts';
import { BulkLoad } from './bulk-load.ts';
import { dialer, type Dialer } from './dial.ts';
import { EchoLoad } from './echo-load.ts';
import { IdleLoad } from './idle-load.ts';
import type { Load } from './load.ts';
import { ReconnectLoad } from './reconnect-load.ts';

let load: Load | undefined;

answer(async (request: LoadRequest): Promise<Count | undefined> => {
  switch (request.ask) {
    case 'open':
      load = loadFor(request.plan, dialer(request.endpoint, request.plan));
      await load.open();
      return undefined;
    case 'count':
      return { count: load?.count ?? 0, atMs: performance.now() };
    case 'close':
      await load?.close();
      load = undefined;
      return undefined;
  }
});

function loadFor(plan: LoadPlan, dial: Dialer): Load {
  switch (plan.kind) {
    case 'echo':
      return new EchoLoad(plan, dial);
    case 'handshake':
    case 'exchange':
      return new ReconnectLoad(plan, dial);
    case 'download':
    case 'upload':
      return new BulkLoad(plan, dial);
    case 'idle':
      return new IdleLoad(plan, dial);
  }
}
