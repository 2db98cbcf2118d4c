// wechatpay-axios-plugin against the simulator: its public `baseURL`, its own verification of every answer.
//
//     node main.mjs CREDENTIALS    the file that `pay-common sandbox --credentials` writes

import assert from 'node:assert/strict';
import { generateKeyPairSync, randomBytes } from 'node:crypto';
import { once } from 'node:events';
import { readFileSync } from 'node:fs';
import { createServer } from 'node:http';
import wechatpay from 'wechatpay-axios-plugin';

const { Wechatpay, Formatter, Rsa, Aes: { AesGcm } } = wechatpay;
const given = JSON.parse(readFileSync(process.argv[2], 'utf8'));
const OPENID = 'oUpF8uMuAJO_M2pxb1Q9zNjWeS6o';
const PATIENCE_MS = 20_000;
const run = randomBytes(4).toString('hex');
const number = (name) => `NODE_${run}_${name}`;

let steps = 0;
async function step(title, does) {
  await does();
  steps += 1;
  console.log(`  ok  ${title}`);
}

const client = (publicKey) => new Wechatpay({
  baseURL: given.wechatPayBaseUrl,
  mchid: given.merchantId,
  serial: given.merchantSerialNumber,
  privateKey: given.privateKey,
  certs: { [given.wxPayPublicKeyId]: publicKey },
  headers: { 'Wechatpay-Serial': given.wxPayPublicKeyId },
});
const wxpay = client(given.wxPayPublicKey);

/** A refusal by WeChat Pay, as the SDK hands it on. */
const refused = (status, code) => ({ response }) => {
  assert.deepEqual([response?.status, response?.data?.code], [status, code]);
  return true;
};

/** What the README of the SDK tells a merchant to do with a callback; gives the decrypted content. */
function open(headers, body) {
  const timestamp = headers['wechatpay-timestamp'];
  assert.ok(Math.abs(Formatter.timestamp() - timestamp) < 300, 'the callback is fresh');
  assert.equal(headers['wechatpay-serial'], given.wxPayPublicKeyId);
  const message = Formatter.joinedByLineFeed(timestamp, headers['wechatpay-nonce'], body);
  const key = Rsa.from(given.wxPayPublicKey, Rsa.KEY_TYPE_PUBLIC);
  assert.ok(Rsa.verify(message, headers['wechatpay-signature'], key), 'the signature is right');
  const { event_type: event, resource: sealed } = JSON.parse(body);
  const text = AesGcm.decrypt(sealed.ciphertext, given.apiV3Key, sealed.nonce, sealed.associated_data);
  return { event, content: JSON.parse(text) };
}

// The merchant's server: it answers 204 to what it could open, and 401 to everything else.
const opened = [];
const turnedAway = [];
const server = createServer(async (request, response) => {
  const pieces = [];
  for await (const piece of request) pieces.push(piece);
  const came = { headers: request.headers, body: Buffer.concat(pieces).toString('utf8') };
  try {
    opened.push({ ...came, ...open(came.headers, came.body) });
    response.writeHead(204).end();
  } catch (error) {
    turnedAway.push(came);
    response.writeHead(401, { 'Content-Type': 'application/json' }).end('{"code":"FAIL","message":"refused"}');
  }
}).listen(0, '127.0.0.1');
await once(server, 'listening');
const notifyUrl = `http://127.0.0.1:${server.address().port}/notify`;

async function callback(event) {
  for (const end = Date.now() + PATIENCE_MS; Date.now() < end;) {
    const found = opened.find((one) => one.event === event);
    if (found) return found;
    await new Promise((resolve) => { setTimeout(resolve, 10); });
  }
  throw new Error(`no ${event} came; ${turnedAway.length} callbacks were turned away`);
}

async function control(path, body) {
  const answer = await fetch(given.controlUrl + path, {
    method: 'POST', headers: { 'Content-Type': 'application/json' }, body: JSON.stringify(body),
  });
  assert.equal(answer.status, 200, await answer.clone().text());
  return answer.json();
}

const order = (name, more = {}) => ({
  appid: given.service_app_id,
  mchid: given.merchantId,
  description: 'Image形象店-深圳腾大-QQ公仔',
  out_trade_no: number(name),
  attach: 'shop=1',
  notify_url: notifyUrl,
  amount: { total: 120, currency: 'CNY' },
  ...more,
});
const jsapi = (name) => order(name, { payer: { openid: OPENID } });
const params = { mchid: given.merchantId };
const query = async (name) => {
  const answer = await wxpay.v3.pay.transactions.outTradeNo.$out_trade_no$.get({ params, out_trade_no: number(name) });
  return answer.data;
};
const close = (name) => wxpay.v3.pay.transactions.outTradeNo.$out_trade_no$.close.post(
  { mchid: given.merchantId },
  { out_trade_no: number(name) },
);
let transactionId;

await step('places a JSAPI order, twice the same', async () => {
  const first = await wxpay.v3.pay.transactions.jsapi.post(jsapi('A'));
  assert.match(first.data.prepay_id, /^wx[0-9a-z]{34}$/);
  const again = await wxpay.v3.pay.transactions.jsapi.post(jsapi('A'));
  assert.equal(again.data.prepay_id, first.data.prepay_id);
});
await step('places native, H5 and app orders', async () => {
  const native = await wxpay.v3.pay.transactions.native.post(order('N'));
  assert.match(native.data.code_url, /^weixin:\/\/wxpay\/bizpayurl\?pr=/);
  const scene = { payer_client_ip: '203.0.113.7', h5_info: { type: 'Wap' } };
  const h5 = await wxpay.v3.pay.transactions.h5.post(order('H', { scene_info: scene }));
  assert.match(h5.data.h5_url, /^https:\/\/wx\.tenpay\.com\//);
  const app = await wxpay.v3.pay.transactions.app.post(order('P'));
  assert.match(app.data.prepay_id, /^wx[0-9a-z]{34}$/);
});
await step('queries the unpaid order', async () => {
  const found = await query('A');
  assert.deepEqual([found.trade_state, found.out_trade_no, found.amount.total], ['NOTPAY', number('A'), 120]);
});
await step('closes another, which is then closed', async () => {
  assert.equal((await close('N')).status, 204);
  assert.equal((await query('N')).trade_state, 'CLOSED');
});
await step('hears of an unknown order and of other parameters', async () => {
  await assert.rejects(query('X'), refused(404, 'ORDER_NOT_EXIST'));
  const other = { ...jsapi('A'), amount: { total: 121, currency: 'CNY' } };
  await assert.rejects(wxpay.v3.pay.transactions.jsapi.post(other), refused(403, 'OUT_TRADE_NO_USED'));
});
await step('opens the payment callback, and turns the probe before it away', async () => {
  await control('/network', { action: 'probe', times: 1 });
  ({ transaction_id: transactionId } = await control('/pay', { out_trade_no: number('A'), payer_total: 100 }));
  const { content } = await callback('TRANSACTION.SUCCESS');
  assert.deepEqual(
    [content.out_trade_no, content.transaction_id, content.trade_state, content.trade_type, content.attach],
    [number('A'), transactionId, 'SUCCESS', 'JSAPI', 'shop=1'],
  );
  assert.deepEqual([content.amount.total, content.amount.payer_total, content.payer.openid], [120, 100, OPENID]);
  assert.equal(turnedAway.length, 1);
  assert.match(turnedAway[0].headers['wechatpay-signature'], /^WECHATPAY\/SIGNTEST\//);
});
await step('turns a callback away that somebody changed', async () => {
  const { headers, body } = await callback('TRANSACTION.SUCCESS');
  assert.throws(() => open(headers, body.replace('支付成功', '支付失败')), /the signature is right/);
});
await step('queries the paid order by both numbers', async () => {
  assert.equal((await query('A')).trade_state, 'SUCCESS');
  const { data } = await wxpay.v3.pay.transactions.id.$id$.get({ params, id: transactionId });
  assert.deepEqual([data.out_trade_no, data.amount.payer_total], [number('A'), 100]);
});
await step('cannot close what is paid', async () => {
  await assert.rejects(close('A'), refused(400, 'ORDERPAID'));
});
await step('refunds a part, and opens the refund callback', async () => {
  const { data } = await wxpay.v3.refund.domestic.refunds.post({
    transaction_id: transactionId,
    out_refund_no: number('R'),
    reason: '商品已售完',
    notify_url: notifyUrl,
    amount: { refund: 60, total: 120, currency: 'CNY' },
  });
  assert.deepEqual([data.status, data.amount.refund, data.amount.payer_refund], ['PROCESSING', 60, 50]);
  const { content } = await callback('REFUND.SUCCESS');
  assert.deepEqual(
    [content.refund_status, content.out_refund_no, content.refund_id, content.amount.refund],
    ['SUCCESS', number('R'), data.refund_id, 60],
  );
});
await step('queries the refund and the refunded order', async () => {
  const { data } = await wxpay.v3.refund.domestic.refunds.$number$.get({ number: number('R') });
  assert.deepEqual([data.status, data.transaction_id, data.amount.total], ['SUCCESS', transactionId, 120]);
  assert.equal((await query('A')).trade_state, 'REFUND');
});
await step('cannot refund more than is left', async () => {
  const more = {
    out_trade_no: number('A'), out_refund_no: number('S'), amount: { refund: 61, total: 120, currency: 'CNY' },
  };
  await assert.rejects(wxpay.v3.refund.domestic.refunds.post(more), refused(400, 'INVALID_REQUEST'));
});
const transfers = wxpay.v3.fundApp.mchTransfer.transferBills;
const bill = (name) => number(name).replaceAll('_', '');
const transfer = (name, more = {}) => transfers.post({
  appid: given.service_app_id,
  out_bill_no: bill(name),
  transfer_scene_id: '1000',
  openid: OPENID,
  transfer_amount: 500,
  transfer_remark: 'Prize',
  notify_url: notifyUrl,
  transfer_scene_report_infos: [
    { info_type: '活动名称', info_content: 'Autumn draw' },
    { info_type: '奖励说明', info_content: 'Third prize' },
  ],
  ...more,
});
await step('transfers money, and opens the transfer callback', async () => {
  const name = Rsa.encrypt('张三', Rsa.from(given.wxPayPublicKey, Rsa.KEY_TYPE_PUBLIC));
  const { data: accepted } = await transfer('T', { user_name: name });
  assert.deepEqual([accepted.out_bill_no, accepted.state], [bill('T'), 'WAIT_USER_CONFIRM']);
  await control('/transfer/confirm', { out_bill_no: bill('T') });
  const { content } = await callback('MCHTRANSFER.BILL.FINISHED');
  assert.deepEqual(
    [content.out_bill_no, content.transfer_bill_no, content.state, content.transfer_amount],
    [bill('T'), accepted.transfer_bill_no, 'SUCCESS', 500],
  );
  const { data: found } = await transfers.outBillNo.$bill$.get({ bill: bill('T') });
  assert.deepEqual([found.transfer_bill_no, found.state], [accepted.transfer_bill_no, 'SUCCESS']);
  assert.equal(Rsa.decrypt(found.user_name, Rsa.from(given.privateKey, Rsa.KEY_TYPE_PRIVATE)), '张三');
});
await step('takes a transfer back', async () => {
  await transfer('U');
  const { data } = await transfers.outBillNo.$bill$.cancel.post({}, { bill: bill('U') });
  assert.deepEqual([data.out_bill_no, data.state], [bill('U'), 'CANCELING']);
});
await step('believes no answer that another key signed', async () => {
  const { publicKey } = generateKeyPairSync('rsa', { modulusLength: 2048 });
  const doubting = client(publicKey.export({ type: 'spki', format: 'pem' }));
  await assert.rejects(
    doubting.v3.pay.transactions.jsapi.post(jsapi('A2')),
    { code: 'EV3_RES_HEADER_SIGNATURE_DIGEST' },
  );
});

server.close();
console.log(`wechatpay-axios-plugin: ${steps} steps held`);
