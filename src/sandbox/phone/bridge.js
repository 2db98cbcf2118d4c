// What WeChat's own browser puts into every page: its name, and the bridge. With `?without` only the name, which opens nothing.
(() => {
  const agent = `${navigator.userAgent} MicroMessenger/8.0.50 (pay-common sandbox)`
  Object.defineProperty(navigator, 'userAgent', { get: () => agent })
  if (document.currentScript.src.endsWith('?without')) return
  const bridge = {
    invoke(name, params, callback) {
      if (name === 'closeWindow') return parent.postMessage('phone:close', location.origin)
      if (name !== 'getBrandWCPayRequest') return callback({ err_msg: 'system:function_not_exist' })
      const body = JSON.stringify({ url: location.href, params })
      const headers = { 'Content-Type': 'application/json' }
      // A page that is gone hears nothing.
      fetch('/phone/bridge', { method: 'POST', headers, body }).then((answer) => answer.json()).then(callback, () => {})
    },
  }
  // It comes a while after the page, as in WeChat.
  setTimeout(() => {
    window.WeixinJSBridge = bridge
    document.dispatchEvent(new Event('WeixinJSBridgeReady'))
  }, 300)
})()
