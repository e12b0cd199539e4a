"use strict";
(() => {
  const data = JSON.parse(document.getElementById("data").textContent);
  const NS = "http://www.w3.org/2000/svg";
  const stage = document.getElementById("stage"), view = document.getElementById("view");
  const panel = document.getElementById("panel"), search = document.getElementById("search");
  const WIDTH = 230, ROW = 40, SMALL = 26, GAP = 8, COLUMNS = { feature: 0, table: 380, slice: 760, head: 1140 };
  const FEW = 60;      // so many features are drawn one by one from the start
  const LIMIT = 600;   // so many rows of an open group are drawn; the search reaches the rest
  const state = { mode: Object.keys(data.modes)[0], open: new Set(), chosen: null, text: "", k: 1, x: 0, y: 0 };
  let boxes = new Map(), model = null;

  const element = (name, attributes, parent) => {
    const made = document.createElementNS(NS, name);
    for (const [key, value] of Object.entries(attributes)) made.setAttribute(key, value);
    if (parent) parent.appendChild(made);
    return made;
  };
  const count = (number, word) => `${number} ${word}${number === 1 ? "" : "s"}`;
  const short = (text, length) => (text.length > length ? text.slice(0, length - 1) + "…" : text);
  const html = (name, text, parent) => {
    const made = document.createElement(name);
    if (text !== undefined) made.textContent = text;
    if (parent) parent.appendChild(made);
    return made;
  };

  // The model of the mode: features that share tables and slices are one group.
  function prepare() {
    const mode = data.modes[state.mode], groups = new Map();
    mode.features.forEach((feature, place) => {
      const key = feature.table + "/" + feature.slices.join(",") + "/" + feature.combiner;
      if (!groups.has(key)) groups.set(key, { id: "g" + groups.size, members: [], feature });
      groups.get(key).members.push(place);
    });
    model = { mode, groups: [...groups.values()] };
    for (const group of model.groups)
      if (mode.features.length <= FEW || group.members.length === 1) state.open.add(group.id);
  }

  const matches = (name) => state.text !== "" && name.toLowerCase().includes(state.text);

  function rows() {
    const out = [], mode = model.mode;
    for (const group of model.groups) {
      const wide = group.members.length > 1;
      const found = group.members.filter((place) => matches(mode.features[place].name));
      const open = state.open.has(group.id);
      if (wide && mode.features.length > FEW) out.push({ kind: "group", id: group.id, group, found: found.length });
      let shown = open ? group.members : found;
      const rest = shown.length - LIMIT;
      if (rest > 0) shown = shown.slice(0, LIMIT);
      for (const place of shown) out.push({ kind: "feature", id: "f" + place, place, group });
      if (rest > 0) out.push({ kind: "more", id: group.id + "more", rest, group });
    }
    return out;
  }

  function draw() {
    view.textContent = "";
    boxes = new Map();
    const edges = element("g", {}, view), nodes = element("g", {}, view), mode = model.mode;
    const column = (kind, items, label) => {
      element("text", { x: COLUMNS[kind], y: -18, class: "title" }, nodes).textContent = label;
      let y = 0;
      for (const item of items) {
        item.box = { x: COLUMNS[kind], y, width: WIDTH, height: item.height };
        y += item.height + (item.height < ROW ? 4 : GAP);
        boxes.set(item.id, item);
      }
      return y;
    };
    const features = rows().map((row) => ({ ...row, height: row.kind === "group" ? ROW : SMALL }));
    const height = column("feature", features, count(mode.features.length, "feature"));
    const used = new Set(mode.features.map((feature) => feature.table));
    const tables = data.tables.map((table, place) => ({ kind: "table", id: "t" + place, place, height: ROW + 6 }))
      .filter((item) => used.has(item.place) || !mode.features.length);
    const slices = mode.slices.map((slice, place) => ({ kind: "slice", id: "s" + place, place, height: ROW + 6 }));
    const heads = mode.heads.map((head, place) => ({ kind: "head", id: "h" + place, place, height: ROW + 6 }));
    const drop = (kind, items, label) => {
      const tall = column(kind, items, label), shift = Math.max(0, Math.min(height, 900) - tall) / 2;
      for (const item of items) item.box.y += shift;
    };
    drop("table", tables, count(tables.length, "table"));
    drop("slice", slices, count(slices.length, "slice"));
    drop("head", heads, count(heads.length, "head"));

    const lit = chosenSet();
    const link = (from, to, weight, guess) => {
      const a = boxes.get(from), b = boxes.get(to);
      if (!a || !b) return;
      const x1 = a.box.x + WIDTH, y1 = a.box.y + a.box.height / 2, x2 = b.box.x, y2 = b.box.y + b.box.height / 2;
      const middle = (x1 + x2) / 2, on = lit && lit.has(from) && lit.has(to);
      element("path", {
        d: `M${x1},${y1}C${middle},${y1} ${middle},${y2} ${x2},${y2}`,
        class: "edge" + (guess ? " guess" : "") + (lit ? (on ? " on" : " dim") : ""),
        "stroke-width": Math.min(9, 1 + Math.log2(weight)),
      }, edges);
    };
    for (const row of features) {
      if (row.kind === "feature") link(row.id, "t" + row.group.feature.table, 1);
      else if (row.kind === "group" && !state.open.has(row.id)) link(row.id, "t" + row.group.feature.table, row.group.members.length);
    }
    const counts = new Map();
    for (const feature of mode.features)
      for (const slice of feature.slices) {
        const key = feature.table + " " + slice;
        counts.set(key, (counts.get(key) || 0) + 1);
      }
    for (const [key, count] of counts) link("t" + key.split(" ")[0], "s" + key.split(" ")[1], count);
    mode.heads.forEach((head, place) => head.slices.forEach((slice) => link("s" + slice, "h" + place, mode.slices[slice].features || 1, !mode.joined)));
    for (const item of boxes.values()) node(item, nodes, lit);
    report();
  }

  function words(item) {
    const mode = model.mode;
    if (item.kind === "feature") return [mode.features[item.place].name, ""];
    if (item.kind === "more") return [`${item.rest} more: search for them`, ""];
    if (item.kind === "group") {
      const where = item.group.feature.slices.map((place) => mode.slices[place].name).join(", ") || "no slice";
      const found = state.text && !state.open.has(item.id) ? ` · ${item.found} found` : "";
      return [`${state.open.has(item.id) ? "▾" : "▸"} ${item.group.members.length} features${found}`, where];
    }
    if (item.kind === "table") {
      const table = data.tables[item.place];
      return [table.name, `${count(table.features, "feature")} · ${table.segments.join(" | ")}`];
    }
    if (item.kind === "slice") {
      const slice = mode.slices[item.place];
      return [slice.name, `dim ${slice.dim} · ${count(slice.features, "feature")}`];
    }
    const head = mode.heads[item.place];
    return [head.name, head.predict];
  }

  function node(item, parent, lit) {
    const [title, sub] = words(item), { x, y, width, height } = item.box;
    let cls = "node " + item.kind;
    if (matches(title) && item.kind !== "group" && item.kind !== "more") cls += " hit";
    if (state.chosen === item.id) cls += " chosen";
    if (lit && !lit.has(item.id)) cls += " dim";
    const made = element("g", { class: cls, transform: `translate(${x},${y})`, "data-id": item.id, tabindex: 0, role: "button" }, parent);
    element("rect", { width, height, rx: 6 }, made);
    element("text", { x: 9, y: sub ? 18 : height / 2 + 4 }, made).textContent = short(title, 27);
    if (sub) element("text", { x: 9, y: 34, class: "sub" }, made).textContent = short(sub, 38);
    element("title", {}, made).textContent = sub ? title + "\n" + sub : title;
  }

  // Everything that is joined to the chosen node, by the features that go through it.
  function chosenSet() {
    if (!state.chosen) return null;
    const mode = model.mode, out = new Set([state.chosen]), place = Number(state.chosen.slice(1));
    let through = [];
    const kind = state.chosen[0];
    if (kind === "f") through = [mode.features[place]];
    else if (kind === "g") through = (model.groups.find((group) => group.id === state.chosen) || { members: [] }).members.map((member) => mode.features[member]);
    else if (kind === "t") through = mode.features.filter((feature) => feature.table === place);
    else if (kind === "s") through = mode.features.filter((feature) => feature.slices.includes(place));
    else through = mode.features.filter((feature) => feature.slices.some((slice) => mode.heads[place].slices.includes(slice)));
    const set = new Set(through), slices = new Set(kind === "s" ? [place] : kind === "h" ? mode.heads[place].slices : through.flatMap((feature) => feature.slices));
    mode.features.forEach((feature, number) => { if (set.has(feature)) out.add("f" + number); });
    for (const group of model.groups) if (group.members.some((member) => set.has(mode.features[member]))) out.add(group.id);
    for (const feature of through) out.add("t" + feature.table);
    for (const slice of slices) out.add("s" + slice);
    mode.heads.forEach((head, number) => { if (kind === "h" ? number === place : head.slices.some((slice) => slices.has(slice))) out.add("h" + number); });
    return out;
  }

  function report() {
    const found = model.mode.features.filter((feature) => matches(feature.name)).length;
    const others = [...boxes.values()].filter((item) => "table slice head".includes(item.kind) && matches(words(item)[0])).length;
    document.getElementById("matches").textContent = state.text ? `${found + others} found` : "";
  }

  function describe() {
    panel.textContent = "";
    const mode = model.mode, id = state.chosen, place = id ? Number(id.slice(1)) : 0;
    const facts = (pairs) => {
      const list = html("dl", undefined, panel);
      for (const [name, value] of pairs) {
        if (value === undefined || value === null || value === "" || (Array.isArray(value) && !value.length)) continue;
        html("dt", name, list);
        html("dd", Array.isArray(value) ? value.join(", ") : String(value), list);
      }
    };
    const links = (title, items) => {
      if (!items.length) return;
      html("b", title, panel);
      const list = html("ul", undefined, panel);
      for (const [text, target] of items.slice(0, 200)) {
        const button = html("button", text, html("li", undefined, list));
        button.className = "link";
        button.addEventListener("click", () => choose(target, true));
      }
      if (items.length > 200) html("li", `${items.length - 200} more`, list);
    };
    const raw = (title, value) => { html("b", title, panel); html("pre", JSON.stringify(value, null, 1), panel); };
    if (!id) {
      html("h2", "The model", panel);
      facts([["mode", state.mode], ["features", mode.features.length], ["tables", data.tables.length], ["slices", mode.slices.length],
        ["heads", mode.heads.map((head) => head.name)], ["losses", mode.losses], ["dense inputs", Object.keys(mode.inputs)],
        ["ps models", Object.keys(data.sub_models.ps)], ["dense models", Object.keys(data.sub_models.dense)]]);
      if (!mode.joined) html("p", "The graph does not tell which slices a head uses: all are joined to it (dashed).", panel);
      html("p", "Click a node to see what it is joined to; click a group to open it. Drag to move, wheel to zoom.", panel);
      let config = data.run_config;
      try { config = JSON.parse(config); } catch { /* shown as it is */ }
      raw("Run configuration", config);
      return;
    }
    if (id[0] === "f") {
      const feature = mode.features[place];
      html("h2", feature.name, panel);
      facts([["combiner", feature.combiner], ["dims", feature.dims]]);
      links("Table", feature.table < 0 ? [] : [[data.tables[feature.table].name, "t" + feature.table]]);
      links("Slices", feature.slices.map((slice) => [mode.slices[slice].name, "s" + slice]));
      if (feature.column) raw("Feature column", feature.column);
    } else if (id[0] === "g") {
      const group = model.groups.find((item) => item.id === id);
      html("h2", `${group.members.length} features`, panel);
      facts([["combiner", group.feature.combiner], ["dims", group.feature.dims]]);
      links("Features", group.members.map((member) => [mode.features[member].name, "f" + member]));
    } else if (id[0] === "t") {
      const table = data.tables[place];
      html("h2", table.name, panel);
      facts([["features", table.features], ["segments", table.segments], ["learning rates", table.learning_rates], ["restored from", table.extra_restore_names]]);
      raw("Configuration", table.config);
    } else if (id[0] === "s") {
      const slice = mode.slices[place];
      html("h2", slice.name, panel);
      facts([["dim", slice.dim], ["features", slice.features], ["outputs", slice.tensors]]);
      links("Heads", mode.heads.map((head, number) => [head, number]).filter(([head]) => head.slices.includes(place)).map(([head, number]) => [head.name, "h" + number]));
      raw("Configuration", slice.config);
    } else {
      const head = mode.heads[place];
      html("h2", head.name, panel);
      facts([["prediction", head.predict], ["label", head.label], ["classification", head.classification]]);
      links("Slices", head.slices.map((slice) => [mode.slices[slice].name, "s" + slice]));
    }
  }

  function choose(id, reveal) {
    if (id && reveal && id[0] === "f") state.open.add(model.groups.find((group) => group.members.includes(Number(id.slice(1)))).id);
    state.chosen = id;
    draw();
    describe();
    if (id && reveal && boxes.has(id)) centre(boxes.get(id).box);
  }

  function apply() { view.setAttribute("transform", `translate(${state.x},${state.y}) scale(${state.k})`); }
  function centre(box) {
    const size = stage.getBoundingClientRect();
    state.x = size.width / 2 - (box.x + box.width / 2) * state.k;
    state.y = size.height / 2 - (box.y + box.height / 2) * state.k;
    apply();
  }
  function fit() {
    const size = stage.getBoundingClientRect(), box = view.getBBox();
    if (!box.width || !size.width) return;
    // A long list stays readable: it is fitted to the width then, and begins at the top.
    state.k = Math.max(Math.min((size.width - 40) / box.width, (size.height - 40) / box.height), Math.min(0.75, (size.width - 40) / box.width));
    state.x = (size.width - box.width * state.k) / 2 - box.x * state.k;
    state.y = Math.max(20, (size.height - box.height * state.k) / 2) - box.y * state.k;
    apply();
  }
  function zoom(factor, x, y) {
    const size = stage.getBoundingClientRect(), px = x === undefined ? size.width / 2 : x - size.left, py = y === undefined ? size.height / 2 : y - size.top;
    const k = Math.min(6, Math.max(0.03, state.k * factor)), real = k / state.k;
    state.x = px - (px - state.x) * real;
    state.y = py - (py - state.y) * real;
    state.k = k;
    apply();
  }

  let from = null, moved = false;
  stage.addEventListener("pointerdown", (event) => { from = { x: event.clientX - state.x, y: event.clientY - state.y, at: [event.clientX, event.clientY] }; moved = false; });
  window.addEventListener("pointermove", (event) => {
    if (!from) return;
    if (Math.hypot(event.clientX - from.at[0], event.clientY - from.at[1]) > 4) { moved = true; stage.classList.add("drag"); }
    if (moved) { state.x = event.clientX - from.x; state.y = event.clientY - from.y; apply(); }
  });
  window.addEventListener("pointerup", () => { from = null; stage.classList.remove("drag"); });
  stage.addEventListener("wheel", (event) => { event.preventDefault(); zoom(Math.exp(-event.deltaY * 0.0015), event.clientX, event.clientY); }, { passive: false });
  const act = (target) => {
    const group = target.closest && target.closest(".node");
    if (!group) { choose(null); return; }
    const id = group.dataset.id;
    if (id.endsWith("more")) { search.focus(); return; }
    if (id[0] === "g") { if (state.open.has(id)) state.open.delete(id); else state.open.add(id); }
    choose(state.chosen === id && id[0] !== "g" ? null : id);
  };
  stage.addEventListener("click", (event) => { if (!moved) act(event.target); });
  stage.addEventListener("keydown", (event) => {
    if (event.key === "Enter" && event.target !== stage) act(event.target);
    const step = { ArrowLeft: [60, 0], ArrowRight: [-60, 0], ArrowUp: [0, 60], ArrowDown: [0, -60] }[event.key];
    if (step) { event.preventDefault(); state.x += step[0]; state.y += step[1]; apply(); }
    if (event.key === "+" || event.key === "-") zoom(event.key === "+" ? 1.25 : 0.8);
  });
  document.addEventListener("keydown", (event) => {
    if (event.key === "/" && document.activeElement !== search) { event.preventDefault(); search.focus(); }
    if (event.key === "Escape") { search.value = ""; state.text = ""; choose(null); }
  });
  search.addEventListener("input", () => {
    state.text = search.value.trim().toLowerCase();
    draw();
    const first = view.querySelector(".node.hit");
    if (first) centre(boxes.get(first.dataset.id).box);
  });
  search.addEventListener("keydown", (event) => {
    const first = view.querySelector(".node.hit");
    if (event.key === "Enter" && first) choose(first.dataset.id, true);
  });
  document.getElementById("in").addEventListener("click", () => zoom(1.25));
  document.getElementById("out").addEventListener("click", () => zoom(0.8));
  document.getElementById("fit").addEventListener("click", fit);
  const expand = document.getElementById("expand");
  expand.addEventListener("click", () => {
    const on = expand.getAttribute("aria-pressed") !== "true";
    expand.setAttribute("aria-pressed", String(on));
    state.open = on ? new Set(model.groups.map((group) => group.id)) : new Set();
    if (!on) prepare();
    draw();
    fit();
  });

  function show(mode) {
    state.mode = mode;
    state.open = new Set();
    state.chosen = null;
    for (const button of document.querySelectorAll("#modes button")) button.setAttribute("aria-selected", String(button.textContent === mode));
    prepare();
    draw();
    describe();
    fit();
  }
  for (const mode of Object.keys(data.modes)) {
    const button = html("button", mode, document.getElementById("modes"));
    button.setAttribute("role", "tab");
    button.addEventListener("click", () => show(mode));
  }
  // "#mode/text" opens a mode with a search.
  const [asked, text] = decodeURIComponent(location.hash.slice(1)).split("/");
  show(asked in data.modes ? asked : state.mode);
  if (text) { search.value = text; search.dispatchEvent(new Event("input")); }
  window.addEventListener("resize", fit);
})();
