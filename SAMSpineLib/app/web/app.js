// What only the browser can do: draw over a slice, listen to keys, send files. Everything else is Python's.
(() => {
  "use strict";
  // The page is there before its connection is.
  const isLive = () => Boolean(window.trame && window.trame.state);
  const state = () => window.trame.state;
  const trigger = (name, ...args) => window.trame.trigger(name, args);
  const KINDS = { positivePoint: "point", negativePoint: "point", box: "box", scribble: "scribble", lasso: "lasso" };
  let drawing = null;

  // Drawing. Coordinates are shares of the view, from its upper left corner.
  const surfaceAt = (event) => {
    const item = event.target.closest && event.target.closest(".layout-grid-item");
    const inside = item && !event.target.closest(".samspine-corner, .samspine-slider");
    return inside ? item.querySelector("svg[data-view]") : null;
  };
  const share = (surface, event) => {
    const box = surface.getBoundingClientRect();
    const inside = (value) => Math.min(1, Math.max(0, value));
    return [inside((event.clientX - box.left) / box.width), inside((event.clientY - box.top) / box.height)];
  };
  const draft = (surface, kind, places) => {
    const line = surface.parentElement.querySelector("svg[data-draft] polyline");
    let shown = places;
    if (kind === "box" && places.length > 1) {
      const [[a, b], [c, d]] = [places[0], places[places.length - 1]];
      shown = [[a, b], [c, b], [c, d], [a, d], [a, b]];
    }
    line.setAttribute("points", shown.map((one) => one.join(",")).join(" "));
  };
  const stop = (event) => { event.preventDefault(); event.stopImmediatePropagation(); };

  document.addEventListener("pointerdown", (event) => {
    const tool = isLive() && state().get("tool");
    const isOurs = event.button === 0 && !event.shiftKey && !event.ctrlKey && !event.altKey;
    const surface = tool && isOurs ? surfaceAt(event) : null;
    if (!surface) return;
    stop(event);
    if (document.activeElement) document.activeElement.blur();
    drawing = { surface, tool, pointer: event.pointerId, places: [share(surface, event)] };
  }, true);
  // Where the mouse is in the patient.
  const placeAt = (event) => {
    const surface = surfaceAt(event);
    const frame = surface && isLive() && state().get(`frame_${surface.dataset.view}`);
    if (!frame) return null;
    const [x, y] = share(surface, event);
    return [0, 1, 2].map((axis) => frame.origin[axis] + x * frame.across[axis] + y * frame.down[axis]);
  };
  const showPlace = (event) => {
    const at = placeAt(event);
    const line = document.getElementById("place");
    if (!at || !line) return;
    line.textContent = ["R", "A", "S"].map((name, axis) => `${name} ${at[axis].toFixed(1)}`).join("  ");
  };

  document.addEventListener("click", (event) => {
    const at = isLive() && !state().get("tool") && !event.shiftKey && placeAt(event);
    if (at) trigger("pickAt", at);
  }, true);
  document.addEventListener("dblclick", (event) => {
    const at = isLive() && !state().get("tool") && placeAt(event);
    if (at) trigger("jump", at);
  }, true);
  document.addEventListener("pointermove", (event) => {
    showPlace(event);
    if (!drawing) return;
    stop(event);
    drawing.places.push(share(drawing.surface, event));
    if (KINDS[drawing.tool] !== "point") draft(drawing.surface, KINDS[drawing.tool], drawing.places);
  }, true);
  document.addEventListener("pointerup", (event) => {
    if (!drawing) return;
    stop(event);
    const { surface, tool, places } = drawing;
    drawing = null;
    const kind = KINDS[tool];
    draft(surface, kind, []);
    const last = share(surface, event);
    const sent = kind === "point" ? [last] : kind === "box" ? [places[0], last] : [...places, last];
    trigger("drawn", surface.dataset.view, kind, sent, tool !== "negativePoint");
  }, true);
  document.addEventListener("pointercancel", () => { if (drawing) draft(drawing.surface, "", []); drawing = null; }, true);
  for (const name of ["mousedown", "mouseup", "click"]) {
    document.addEventListener(name, (event) => {
      if (isLive() && state().get("tool") && event.button === 0 && surfaceAt(event)) stop(event);
    }, true);
  }

  // Keys.
  const isTyping = (target) => target.closest && target.closest("input:not([type=range]), textarea, [role=combobox], .v-overlay");
  const named = (event) => {
    const key = event.key.length === 1 ? event.key.toUpperCase() : event.key;
    const letter = key >= "A" && key <= "Z";
    return (event.ctrlKey || event.metaKey ? "Ctrl+" : "") + (event.shiftKey && letter ? "Shift+" : "") + key;
  };
  document.addEventListener("keydown", (event) => {
    if (!isLive() || event.altKey || isTyping(event.target)) return;
    if (event.key === "Escape" && document.querySelector(".v-overlay--active")) return;  // it closes that
    if (event.key === "Escape" && drawing) { draft(drawing.surface, "", []); drawing = null; return; }
    const action = event.key === "Escape" ? "noTool" : (state().get("keys") || {})[named(event)];
    if (!action) return;
    stop(event);
    trigger("act", action);
  }, true);

  // A question takes the focus; whoever had it before has it again afterwards.
  let before = null;
  document.addEventListener("focusin", (event) => {
    const left = event.relatedTarget;
    if (event.target.closest(".v-dialog") && left && !left.closest(".v-dialog")) before = left;
  });
  new MutationObserver(() => {
    const isLost = document.activeElement === document.body;
    if (before && isLost && !document.querySelector(".v-dialog--active, .v-dialog.v-overlay--active")) {
      before.focus();
      before = null;
    }
  }).observe(document.documentElement, { subtree: true, childList: true, attributeFilter: ["class"] });

  // Files: one request each, so that a large one is never in memory here or there.
  const say = (text) => state().set("message", text);
  const send = async (files, kind) => {
    if (!files.length) return;
    state().set("is_uploading", true);
    try {
      const begun = await fetch("upload", { method: "POST" });
      if (!begun.ok) throw new Error(await begun.text());
      const place = await begun.text();
      let done = 0;
      for (const { file, path } of files) {
        say(`Sending ${file.name} (${++done} of ${files.length})`);
        const reply = await fetch(`upload/${place}?name=${encodeURIComponent(path)}`, { method: "PUT", body: file });
        if (!reply.ok) throw new Error(await reply.text());
      }
      say("Reading ...");
      await trigger("uploaded", place, kind);
    } catch (error) {
      say(error.message || String(error));
    } finally {
      state().set("is_uploading", false);
    }
  };
  const listed = (files) => [...files].map((file) => ({ file, path: file.webkitRelativePath || file.name }));
  const choose = (kind, folder) => {
    const input = document.createElement("input");
    input.type = "file";
    input.multiple = true;
    input.webkitdirectory = folder;
    input.id = "samspine-files";
    input.style.display = "none";
    input.onchange = () => { send(listed(input.files), kind); input.remove(); };
    document.querySelectorAll("#samspine-files").forEach((old) => old.remove());
    document.body.appendChild(input);
    input.click();
  };
  const walk = async (entry, found) => {
    if (entry.isFile) {
      const file = await new Promise((done, failed) => entry.file(done, failed));
      found.push({ file, path: entry.fullPath.replace(/^\//, "") });
    } else {
      const reader = entry.createReader();
      for (;;) {
        const some = await new Promise((done, failed) => reader.readEntries(done, failed));
        if (!some.length) break;
        for (const one of some) await walk(one, found);
      }
    }
  };
  document.addEventListener("dragover", (event) => { event.preventDefault(); document.body.classList.add("samspine-drop"); });
  document.addEventListener("dragleave", () => document.body.classList.remove("samspine-drop"));
  document.addEventListener("drop", async (event) => {
    event.preventDefault();
    document.body.classList.remove("samspine-drop");
    const entries = [...event.dataTransfer.items].map((item) => item.webkitGetAsEntry && item.webkitGetAsEntry());
    const plain = listed(event.dataTransfer.files);
    const found = [];
    for (const entry of entries) if (entry) await walk(entry, found);
    await send(found.length ? found : plain, "any");
  });

  // Saving is a request like any other: an error of it becomes a line of the page.
  const save = async (format) => {
    say("Writing ...");
    const reply = await fetch(`save/${format}`);
    if (!reply.ok) { say(await reply.text()); return; }
    const name = /filename="([^"]+)"/.exec(reply.headers.get("Content-Disposition") || "");
    const link = document.createElement("a");
    link.href = URL.createObjectURL(await reply.blob());
    link.download = name ? name[1] : `spine.${format}`;
    link.click();
    setTimeout(() => URL.revokeObjectURL(link.href), 60000);
    say(`Saved ${link.download}`);
  };
  const menu = {
    choose: (kind) => choose(kind, false),
    folder: (kind) => choose(kind, true),
    save,
    phantom: () => trigger("phantom"),
  };
  document.addEventListener("click", (event) => {
    const entry = event.target.closest && event.target.closest("[data-samspine]");
    if (!entry) return;
    const [what, argument] = entry.dataset.samspine.split(" ");
    menu[what](argument);
  });
  window.samspine = menu;
})();
