// Makes the pages more pleasant. Everything works without it.
"use strict";

// A form is sent once, and says that it is on its way.
document.addEventListener("submit", (event) => {
  const button = event.target.querySelector("button");
  if (event.target.method !== "post" || !button) return;
  if (event.target.dataset.sent) {
    event.preventDefault();
    return;
  }
  event.target.dataset.sent = "1";
  button.setAttribute("aria-disabled", "true");
  button.classList.add("busy");
});
// A browser that goes back shows the page as it was left.
window.addEventListener("pageshow", () => {
  for (const form of document.querySelectorAll("form[data-sent]")) {
    delete form.dataset.sent;
    form.querySelector("button").removeAttribute("aria-disabled");
    form.querySelector("button").classList.remove("busy");
  }
});

// The master list is one of the lists that are ticked.
for (const form of document.querySelectorAll("form[data-lists]")) {
  form.addEventListener("change", (event) => {
    const row = event.target.closest("tr");
    if (!row) return;
    const box = row.querySelector("input[type=checkbox]");
    const radio = row.querySelector("input[type=radio]");
    if (event.target === radio && radio.checked) box.checked = true;
    if (event.target === box && !box.checked) radio.checked = false;
    if (event.target === box && box.checked && !radio.disabled && !form.querySelector("input[type=radio]:checked")) {
      radio.checked = true;
    }
  });
}

// A link to a part of the page opens what is folded there, and puts the cursor where one can write.
const opened = () => {
  const part = location.hash.length > 1 && document.getElementById(location.hash.slice(1));
  if (!part) return;
  const fold = part.querySelector("details");
  if (fold) fold.open = true;
  const field = part.querySelector("input:not([type=hidden])");
  if (field) field.focus({ preventScroll: true });
};
window.addEventListener("hashchange", opened);
opened();
