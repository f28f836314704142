import { countingClient } from './counter-client.mjs';

await countingClient({ pauseMs: 5 });
