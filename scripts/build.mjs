// `npm run build`: everything that is compiled, from whatever state the checkout is in.
import { ensureBuilt } from './setup.mjs';

ensureBuilt();
