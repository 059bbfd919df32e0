// The official Anthropic library for Node.
import assert from 'node:assert/strict';
import Anthropic from '@anthropic-ai/sdk';
import { betaZodTool } from '@anthropic-ai/sdk/helpers/beta/zod';
import { zodOutputFormat } from '@anthropic-ai/sdk/helpers/zod';
import { z } from 'zod';
import { breaks, city, key, refused, run, said, url, wrongKey } from './scenarios.mjs';

const client = new Anthropic({ baseURL: url, apiKey: key, maxRetries: 0 });
const stranger = new Anthropic({ baseURL: url, apiKey: wrongKey, maxRetries: 0 });
const City = z.object({ city: z.string() });
const messages = [{ role: 'user', content: 'What is the weather in Oslo?' }];
const asked = (model) => ({ model, max_tokens: 2000, messages });
const textOf = (message) => message.content.filter((block) => block.type === 'text').map((block) => block.text).join('');

await run('@anthropic-ai/sdk', {
  text: async ({ text }) => assert.equal(textOf(await client.messages.create(asked(text))), said),
  stream: async ({ thinking }) => {
    const thinks = { thinking: { type: 'enabled', budget_tokens: 1024 } };
    const whole = await client.messages.stream({ ...asked(thinking), ...thinks }).finalMessage();
    assert.equal(textOf(whole), said);
    assert.ok(whole.usage.output_tokens > 0);
  },
  tools: async ({ tools }) => {
    const calls = [];
    const weather = betaZodTool({ name: 'weather', description: 'The weather.', inputSchema: City, run: (given) => (calls.push(given), 'Rain.') });
    const runner = client.beta.messages.toolRunner({ ...asked(tools), tools: [weather] });
    assert.equal(textOf(await runner), said);
    assert.deepEqual(calls, [{ city }]);
  },
  structured: async ({ structured }) => {
    const answer = await client.messages.parse({ ...asked(structured), output_config: { format: zodOutputFormat(City) } });
    assert.equal(typeof answer.parsed_output.city, 'string');
  },
  count: async ({ text }) => assert.ok((await client.messages.countTokens({ model: text, messages })).input_tokens > 5),
  'error 400': async ({ status }) => refused(400, () => client.messages.create(asked(status(400)))),
  'error 401': async ({ text }) => refused(401, () => stranger.messages.create(asked(text))),
  'error 429': async ({ status }) => refused(429, () => client.messages.create(asked(status(429)))),
  'broken stream': async ({ broken }) => breaks(() => client.messages.stream(asked(broken)).finalMessage()),
});
