// The official OpenAI library for Node: Chat Completions and Responses.
import assert from 'node:assert/strict';
import OpenAI from 'openai';
import { zodResponseFormat, zodTextFormat } from 'openai/helpers/zod';
import { z } from 'zod';
import { breaks, city, key, refused, run, said, url, wrongKey } from './scenarios.mjs';

const options = { baseURL: `${url}/v1`, maxRetries: 0 };
const client = new OpenAI({ ...options, apiKey: key });
const stranger = new OpenAI({ ...options, apiKey: wrongKey });
const City = z.object({ city: z.string() });
const parameters = { type: 'object', properties: { city: { type: 'string' } }, required: ['city'], additionalProperties: false };
const messages = [{ role: 'user', content: 'What is the weather in Oslo?' }];

const chat = (model, by = client) => by.chat.completions.create({ model, messages });

await run('openai (npm), Chat', {
  text: async ({ text }) => assert.equal((await chat(text)).choices[0].message.content, said),
  stream: async ({ text }) => {
    const stream = client.chat.completions.stream({ model: text, messages, stream_options: { include_usage: true } });
    const whole = await stream.finalChatCompletion();
    assert.equal(whole.choices[0].message.content, said);
    assert.ok(whole.usage.completion_tokens > 0);
  },
  tools: async ({ tools }) => {
    const asked = [];
    const weather = { name: 'weather', parameters, parse: JSON.parse, function: (given) => (asked.push(given), 'Rain.') };
    const runner = client.chat.completions.runTools({ model: tools, messages, stream: true, tools: [{ type: 'function', function: weather }] });
    assert.equal(await runner.finalContent(), said);
    assert.deepEqual(asked, [{ city }]);
  },
  structured: async ({ structured }) => {
    const answer = await client.chat.completions.parse({ model: structured, messages, response_format: zodResponseFormat(City, 'place') });
    assert.equal(typeof answer.choices[0].message.parsed.city, 'string');
  },
  'error 400': async ({ status }) => refused(400, () => chat(status(400))),
  'error 401': async ({ text }) => refused(401, () => chat(text, stranger)),
  'error 429': async ({ status }) => refused(429, () => chat(status(429))),
  'broken stream': async ({ broken }) => breaks(() => client.chat.completions.stream({ model: broken, messages }).finalContent()),
});

const ask = (model, by = client) => by.responses.create({ model, input: messages });
const tool = { type: 'function', name: 'weather', parameters, strict: true };

await run('openai (npm), Responses', {
  text: async ({ text }) => assert.equal((await ask(text)).output_text, said),
  stream: async ({ thinking }) => {
    const whole = await client.responses.stream({ model: thinking, input: 'Hello' }).finalResponse();
    assert.equal(whole.output_text, said);
    assert.ok(whole.usage.output_tokens > 0);
  },
  tools: async ({ tools }) => {
    const first = await client.responses.stream({ model: tools, input: messages, tools: [tool] }).finalResponse();
    const call = first.output.find((item) => item.type === 'function_call');
    assert.deepEqual(call.parsed_arguments ?? JSON.parse(call.arguments), { city });
    const output = { type: 'function_call_output', call_id: call.call_id, output: 'Rain.' };
    const second = await client.responses.create({ model: tools, input: [...messages, ...first.output, output], tools: [tool] });
    assert.equal(second.output_text, said);
  },
  structured: async ({ structured }) => {
    const answer = await client.responses.parse({ model: structured, input: messages, text: { format: zodTextFormat(City, 'place') } });
    assert.equal(typeof answer.output_parsed.city, 'string');
  },
  'error 400': async ({ status }) => refused(400, () => ask(status(400))),
  'error 401': async ({ text }) => refused(401, () => ask(text, stranger)),
  'error 429': async ({ status }) => refused(429, () => ask(status(429))),
  'broken stream': async ({ broken }) => breaks(() => client.responses.stream({ model: broken, input: 'Hello' }).finalResponse()),
});
