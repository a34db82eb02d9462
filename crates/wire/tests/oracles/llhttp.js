// Prints the requests that Node's parser (llhttp) sees in each message.
//
// In: messages, each preceded by its length (4 bytes, big endian). Out: one line for each, with the
// complete requests in it: METHOD hex(target) hex(body), separated by commas; the last word is the
// error's code, or `end`.
'use strict';
process.noDeprecation = true;
const { HTTPParser, methods } = process.binding('http_parser');

function requests_in(bytes) {
  const parser = new HTTPParser();
  parser.initialize(HTTPParser.REQUEST, {}, 0, 0);
  const requests = [];
  let request = null;
  let target = '';
  parser[HTTPParser.kOnHeaders | 0] = (headers, url) => { target += url; };
  parser[HTTPParser.kOnHeadersComplete | 0] = (major, minor, headers, method, url) => {
    const whole = Buffer.from(target + (url || ''), 'latin1');
    request = { method: methods[method], target: whole, body: [] };
    return 0;
  };
  parser[HTTPParser.kOnBody | 0] = (body, offset, length) => {
    request.body.push(offset === undefined ? body : body.slice(offset, offset + length));
  };
  parser[HTTPParser.kOnMessageComplete | 0] = () => {
    const body = Buffer.concat(request.body).toString('hex');
    requests.push(`${request.method} ${request.target.toString('hex')} ${body}`);
    target = ''; // Trailer fields have added to it.
  };
  const result = parser.execute(bytes);
  parser.close();
  requests.push(result instanceof Error ? result.code : 'end');
  return requests.join(',');
}

const all = require('fs').readFileSync(0);
const lines = [];
for (let at = 0; at < all.length;) {
  const length = all.readUInt32BE(at);
  lines.push(requests_in(Buffer.from(all.subarray(at + 4, at + 4 + length))));
  at += 4 + length;
}
process.stdout.write(lines.join('\n') + '\n');
