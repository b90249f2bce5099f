'use strict';
// No storage, no third party: everything here ends with the page.
(() => {
  const d = document, root = d.documentElement, $ = (id) => d.getElementById(id);
  const MIN = 60000;
  let left = false; // she pressed Leave: nothing else takes her anywhere from then on
  const go = (to) => left || location.replace(to);
  const clock = d.querySelector('[data-clock]');
  if (clock) {
    setInterval(() => {
      clock.textContent = new Date().toLocaleTimeString(root.lang, {hour: 'numeric', minute: '2-digit'});
    }, 15000);
  }
  if (!$('gone')) return;

  const says = (text, lost) => {
    $('says').textContent = text;
    $('says').className = lost ? 'lost' : 'vh';
  };

  // --- leaving: a link, or Shift three times with at most five seconds between
  const leave = () => {
    const gone = $('gone');
    gone.setAttribute('role', 'alert');
    gone.hidden = false;
    root.classList.add('gone');
    left = true;
    location.replace('/x');
  };
  let presses = 0, timer = 0, modifier = false;
  const count = (to, text) => {
    presses = to;
    clearTimeout(timer);
    d.querySelectorAll('.lights').forEach((lights) => { lights.dataset.on = to; });
    says(text);
  };
  addEventListener('keyup', (event) => {
    const text = $('gone').dataset;
    if (event.key === 'Shift' && !modifier) {
      count(presses + 1, [text.two, text.one, ''][presses]);
      if (presses > 2) {
        count(0, '');
        leave();
      } else {
        timer = setTimeout(() => count(0, text.late), 5000);
      }
    } else if (presses) {
      count(0, '');
    }
    modifier = event.shiftKey;
  });

  // --- fewer traces: pages replace each other in the history
  const traces = () => root.hasAttribute('data-f');
  addEventListener('click', (event) => {
    const link = event.target.closest('a[href]');
    const other = event.button || event.ctrlKey || event.metaKey || event.shiftKey || event.altKey;
    if (!link || other) return;
    if (link.hasAttribute('data-x')) {
      event.preventDefault();
      leave();
    } else if (traces() && link.origin === location.origin) {
      event.preventDefault();
      go(link.href);
    }
  });
  const swap = (text) => {
    const fresh = new DOMParser().parseFromString(text, 'text/html');
    if (!fresh.getElementById('gone')) throw 0;
    for (const name of root.getAttributeNames()) if (name !== 'class') root.removeAttribute(name);
    for (const a of fresh.documentElement.attributes) root.setAttribute(a.name, a.value);
    d.title = fresh.title;
    d.body.replaceWith(fresh.body);
    ready();
    scrollTo(0, 0);
    if (covered()) return cover(true);
    (d.querySelector('[aria-invalid],[autofocus]')
      || d.querySelector('[role=alert]:not(#gone) + form input:not([type=hidden])') || $('m')).focus();
  };
  const send = async (form, button) => {
    const body = new URLSearchParams(new FormData(form)), late = new AbortController();
    if (button && button.name) body.append(button.name, button.value);
    const limit = setTimeout(() => late.abort(), MIN / 4); // longer than the server ever takes
    try {
      const answer = await fetch(form.getAttribute('action'), {
        method: 'POST', body, headers: {Accept: 'text/plain'}, redirect: 'error', cache: 'no-store',
        signal: late.signal,
      });
      const text = await answer.text();
      const plain = (answer.headers.get('content-type') || '').startsWith('text/plain');
      return {status: answer.status, text, path: answer.ok && plain && text[0] === '/' && text};
    } finally {
      clearTimeout(limit);
    }
  };
  const show = ({status, text, path}) => {
    if (left || wish || status === 204) return;
    if (path) go(path);
    else swap(text);
  };
  // A second press of a form is held back while the first is on its way. Another form's never is:
  // what comes is then the answer to the last one.
  const sent = new Set();
  let last;
  addEventListener('submit', (event) => {
    const form = event.target, twice = sent.has(form);
    const free = () => {
      sent.delete(form);
      root.classList.toggle('busy', sent.size);
    };
    if (twice || traces()) event.preventDefault();
    if (twice) return;
    sent.add(last = form);
    root.classList.add('busy');
    if (traces()) {
      says('');
      send(form, event.submitter).then((answer) => form === last && show(answer))
        .catch(() => form === last && says($('gone').dataset.lost, true)).finally(free);
    } else {
      setTimeout(free, 5000); // the browser sends it; only a second press is kept back
    }
  });

  // --- the session: stay, cover, end. Its presses never hold back one of hers.
  let since = 0, ends = 0;
  const asked = (left) => {
    since = Date.now();
    ends = since + (left || 10 * MIN);
  };
  const seat = (what) => {
    $('seat').elements.do.value = what;
    return send($('seat'));
  };
  const covered = () => root.classList.contains('covered');
  const tick = () => {
    const idle = $('idle'), now = Date.now();
    if (left || !idle) return;
    if (now >= ends) {
      if (wish !== 'end') shut('end');
    } else if (covered()) {
      if (!wish && now - at >= MIN) shut('cover');
    } else if (now >= ends - 2 * MIN && !idle.open) {
      idle.showModal();
      idle.querySelector('button').focus();
    }
  };
  setInterval(tick, 1000);
  const stay = () => {
    asked();
    // Nothing but the page of a session that is over or covered replaces what she types.
    seat('stay').then((answer) => answer.status === 200 && show(answer)).catch(() => {});
  };
  const active = () => {
    if ($('idle') && !$('idle').open && !covered() && Date.now() - since > MIN) stay();
  };
  addEventListener('keydown', active);
  addEventListener('pointerdown', active);

  // --- the cover: nothing of the page in an overview of open apps. After a minute only the server
  // takes it away: until it has said where to go, it is asked again, and there is nothing but Leave.
  let at = 0, wish = '', again = 0;
  const cover = (on) => {
    if ($('idle') && $('idle').open) $('idle').close();
    root.classList.toggle('covered', on);
    $('cover').hidden = !on;
    $('cover').firstElementChild.hidden = !!wish;
    $(on ? 'cover' : 'm').focus();
  };
  const ask = () => {
    if (left) return;
    seat(wish).catch(() => 0).then((answer) => {
      clearTimeout(again);
      if (answer.path) go(answer.path);
      else again = setTimeout(ask, 4000);
    });
  };
  const shut = (what) => {
    wish = what;
    cover(true);
    ask();
  };
  const hide = () => {
    if (!covered()) at = Date.now();
    cover(true);
  };
  d.addEventListener('visibilitychange', () => d.hidden ? hide() : tick());

  // --- a page that comes back from the browser's memory shows nothing, and is asked for again
  addEventListener('pagehide', () => root.classList.add('gone'));
  addEventListener('pageshow', (event) => {
    // Without its fragment, which would only be a place on the page that is there.
    if (event.persisted) location.replace(location.pathname + location.search);
  });

  // --- what each page needs
  const ready = () => {
    asked(root.dataset.left * 1000);
    $('cover').firstElementChild.onclick = () => {
      tick(); // it may be too late
      if (!wish) cover(false);
    };
    const idle = $('idle');
    if (idle) {
      idle.querySelector('button').onclick = () => {
        idle.close();
        stay();
      };
      idle.oncancel = stay;
    }
    // What is said of this script alone.
    d.querySelectorAll('[data-js]').forEach((said) => { said.hidden = false; });
    d.querySelectorAll('[data-print]').forEach((button) => {
      button.hidden = false;
      button.onclick = () => print();
    });
    d.querySelectorAll('[data-show]').forEach((button) => {
      const field = $(button.dataset.show), off = button.textContent;
      button.hidden = false;
      button.onclick = () => {
        const shown = field.type === 'password';
        field.type = shown ? 'text' : 'password';
        button.textContent = shown ? button.dataset.on : off;
        button.setAttribute('aria-pressed', shown);
      };
    });
    d.querySelectorAll('input[name=shared]').forEach((choice) => {
      choice.onchange = () => {
        const own = choice.value === 'no';
        $('card').autocomplete = own ? 'username' : 'off';
        $('pin').autocomplete = own ? 'current-password' : 'one-time-code';
      };
    });
  };
  ready();
  if (d.hidden && $('seat')) hide();
})();
