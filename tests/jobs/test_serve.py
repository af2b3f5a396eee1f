"""--mode=serve: what is asked is checked and answered; slow: in a browser, and by two clients at once."""

import base64
import importlib.util
import io
import pathlib
import re
import shutil
import signal
import socket
import subprocess
import threading
import time

import jax
import numpy as np
import pytest
from PIL import Image
from tiny_run import ROOT, command, environment

import ddpm_jax
from ddpm_jax.jobs import serve
from ddpm_jax.serving import requests
from ddpm_jax.viz import pictures

CHROMIUM = shutil.which("chromium") or shutil.which("google-chrome")
DRIVER = shutil.which("chromedriver")
SECONDS = 240
"""What one wait may take on a busy machine."""
ASKED = {"number": 3, "seed": 5, "steps": 2, "guidance": 1.0, "solver": "ddim"}


@pytest.fixture
def loaded(model, compiled_quickly):
    return ddpm_jax.load(model)


@pytest.fixture
def offer(loaded):
    return serve.what_is_offered(loaded.config, loaded._model)


@pytest.fixture
def ask(loaded, offer):
    return requests.build(loaded, offer)


@pytest.fixture
def compiled():
    found = []

    def note(event, seconds, **about):
        if event == "/jax/core/compile/backend_compile_duration":
            found.append(about)

    jax.monitoring.register_event_duration_secs_listener(note)
    yield found
    jax.monitoring.unregister_event_duration_listener(note)


def test_the_grid_is_that_of_the_models_samples(loaded, ask):
    """Drawn by another `Model`, of the same work directory."""
    wanted = loaded.sample([4, 4, 4], seed=5, steps=2, guidance=2.0, solver="ancestral")
    found = ask.sample("4", 3.0, 5, 2, 2.0, "ancestral")
    np.testing.assert_array_equal(found, pictures.grid(wanted))
    every = loaded.sample([*range(10), 0, 1], seed=5, steps=2)
    captions = [*"012345678901"]
    found = ask.sample(requests.EVERY_CLASS, 12, 5, 2, 1.0, "ddim")
    np.testing.assert_array_equal(found, pictures.grid(every, captions=captions))


def test_another_seed_and_class_compile_nothing(ask, compiled):
    real = np.zeros((8, 8, 3), np.uint8)
    new = requests.part("left half", 8)
    for seed, name in enumerate("012"):
        compiled.clear()
        ask.sample(name, 2, seed, 2, 1.0, "ddim")
        ask.animate(name, 2, seed, 2, 1.0, "ddim")
        ask.denoise(real, name, 0.5, seed, 2)
        ask.inpaint(real, new, name, 1, seed, 2)
        assert bool(compiled) == (seed == 0)


def test_the_animation_goes_from_noise_to_the_grid(ask):
    given = (requests.EVERY_CLASS, 2, 1, 4, 1.0, "ddim")
    frames = ask.animate(*given)
    assert len(frames) == 5
    difference = np.abs(frames[-1].astype(int) - ask.sample(*given))
    assert difference.max() <= 1
    assert (frames[0] != frames[-1]).any()


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"number": 65}, "the number of images is 65; wanted a number from 1 to 64"),
        ({"number": 0}, "the number of images is 0; wanted"),
        ({"number": 2.5}, "the number of images is 2.5; wanted a whole number"),
        ({"number": None}, "the number of images is None; wanted a number"),
        ({"number": "many"}, "the number of images is 'many'; wanted a number"),
        ({"number": True}, "the number of images is True"),
        ({"seed": -1}, "the seed is -1; wanted a number from 0 to 2147483647"),
        ({"seed": float("nan")}, "the seed is nan"),
        ({"steps": 21}, "the number of steps is 21; wanted a number from 1 to 20"),
        ({"guidance": 11.0}, "the guidance scale is 11.0; wanted a number from 0 to 10"),
        ({"solver": "euler"}, "the solver is 'euler'; wanted one of ancestral, ddim"),
        ({"name": "ten"}, "the class is 'ten'; wanted one of all, in turn, 0, 1"),
    ],
)
def test_bad_input_is_refused_in_words(ask, change, message):
    given = {"name": "3"} | ASKED | change
    for what in (ask.sample, ask.animate):
        with pytest.raises(ValueError, match=re.escape(message)):
            what(*given.values())


def test_a_real_image_comes_in_any_size_and_its_known_part_stays(ask, loaded):
    """The colors of a picture are the model's pixels, each a square of 8 x 8."""
    real = np.random.default_rng(0).integers(0, 256, (8, 8, 1), np.uint8)
    big = np.broadcast_to(real, (8, 8, 3)).repeat(40, axis=0).repeat(40, axis=1)
    drawn = np.zeros((320, 320), bool)
    drawn[:, 160:] = True
    small = ask.inpaint(real, requests.part("right half", 8), "3", 1, 0, 2)
    np.testing.assert_array_equal(ask.inpaint(real, drawn, "3", 1, 0, 2), small)
    known = loaded.inpaint(real[None], [3], ~requests.part("right half", 8), resamples=1, steps=2)
    np.testing.assert_array_equal(known[:, :, :4], real[None, :, :4])
    wide = ask.denoise(big[:, 20:300], "3", 0.5, 0, 2)
    assert wide.shape == ask.denoise(real, "3", 0.5, 0, 2).shape


@pytest.mark.parametrize(
    ("image", "new", "name", "message"),
    [
        (None, np.ones((8, 8), bool), "3", "there is no image; upload one"),
        (np.zeros((8, 8, 3), np.uint8), np.zeros((8, 8), bool), "3", "nothing is drawn"),
        (np.zeros((8, 8, 3), np.uint8), np.ones((8, 8), bool), "ten", "the class is 'ten'"),
    ],
)
def test_an_image_that_cannot_be_changed_is_refused(ask, image, new, name, message):
    with pytest.raises(ValueError, match=message):
        ask.inpaint(image, new, name, 1, 0, 2)
    with pytest.raises(ValueError, match="the share of the noise is 2; wanted"):
        ask.denoise(np.zeros((8, 8, 3), np.uint8), "3", 2, 0, 2)
    with pytest.raises(ValueError, match="the part is 'hat'; wanted one of left half"):
        requests.part("hat", 8)


def test_parts_are_where_their_names_say():
    assert requests.part("left half", 4)[0].tolist() == [True, True, False, False]
    assert requests.part("bottom half", 4)[:, 0].tolist() == [False, False, True, True]
    assert requests.part("center", 4).sum() == 4 and requests.part("center", 4)[1, 1]


def test_what_the_network_was_not_trained_for_is_not_offered(config, loaded):
    model = loaded._model
    assert serve.what_is_offered(config, model).guided
    config.loss.label_dropout = 0.0
    offer = serve.what_is_offered(config, model)
    assert not offer.guided and "consistency" not in offer.solvers
    with pytest.raises(ValueError, match="not trained to be guided: wanted 1"):
        requests.build(loaded, offer).sample("3", 1, 0, 2, 2.0, "ddim")
    config.loss.kind = "consistency"
    assert "consistency" in serve.what_is_offered(config, model).solvers
    unlabelled = model._replace(net=model.net.clone(num_classes=0))
    assert serve.what_is_offered(config, unlabelled).class_names == ()
    config.serve.max_steps = 3
    assert serve.what_is_offered(config, model).steps == 3


def test_one_request_at_a_time_is_at_the_model(loaded, offer, monkeypatch):
    inside, most = [], []

    def sample(labels, **asked):
        inside.append(1)
        most.append(len(inside))
        time.sleep(0.05)
        inside.pop()
        return np.zeros((len(labels), 8, 8, 1), np.uint8)

    monkeypatch.setattr(loaded, "sample", sample)
    ask = requests.build(loaded, offer)
    threads = [threading.Thread(target=ask.sample, args=("3", *ASKED.values())) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(SECONDS)
    assert most == [1, 1, 1, 1]


def test_a_page_of_nothing_is_refused(config, tmp_path):
    config.serve.max_images = 0
    with pytest.raises(ValueError, match=r"serve\.max_images is 0; wanted at least 1"):
        serve.run(config, tmp_path)


def test_without_gradio_one_line_names_the_extra(model):
    """A module that stands in its place cannot be imported."""
    (model / "gradio.py").write_text("raise ImportError('not installed')\n")
    run = subprocess.run(
        command("--mode=serve", f"--workdir={model}"),
        env=environment(1) | {"PYTHONPATH": str(model)},
        cwd=ROOT, capture_output=True, text=True, timeout=SECONDS,
    )  # fmt: skip
    assert run.returncode == 2
    assert 'pip install "ddpm_jax[serve]"' in run.stderr and "Traceback" not in run.stderr


class Server:
    """The program as a process; `address` is what it printed."""

    def __init__(self, workdir, *flags):
        self.process = subprocess.Popen(
            command("--mode=serve", f"--workdir={workdir}", "--config.serve.port=0", *flags),
            env=environment(1), cwd=ROOT, text=True,
            stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
        )  # fmt: skip
        bound = threading.Timer(SECONDS, self.process.kill)
        bound.start()
        said, found = [], None
        for line in self.process.stdout:
            said.append(line)
            if found := re.match(r"\[serve\] (http://\S+)", line):
                break
        bound.cancel()
        assert found, said
        self.address = found.group(1)

    def resident(self):
        """MiB."""
        status = pathlib.Path(f"/proc/{self.process.pid}/status").read_text()
        return int(re.search(r"VmRSS:\s+(\d+)", status).group(1)) / 1024


@pytest.fixture
def server(model):
    if importlib.util.find_spec("gradio") is None:
        pytest.skip("the extra `serve` is not installed")
    started = Server(model)
    yield started
    started.process.terminate()
    started.process.wait(SECONDS)
    started.process.stdout.close()


@pytest.fixture
def browser():
    if not (CHROMIUM and DRIVER):
        pytest.skip("neither Chromium nor its driver is here")
    webdriver = pytest.importorskip("selenium.webdriver")
    options = webdriver.ChromeOptions()
    options.binary_location = CHROMIUM
    for flag in ("--headless=new", "--no-sandbox", "--disable-gpu", "--window-size=1200,1000"):
        options.add_argument(flag)
    options.set_capability("goog:loggingPrefs", {"performance": "ALL"})
    driver = webdriver.Chrome(options, webdriver.ChromeService(DRIVER))
    driver.set_page_load_timeout(SECONDS)
    yield driver
    driver.quit()


def wait(driver, found):
    from selenium.webdriver.support.ui import WebDriverWait

    return WebDriverWait(driver, SECONDS).until(found)


def shown(driver, name):
    """The picture in the place of this name, once there is one, as an array."""
    address = wait(
        driver,
        lambda d: d.execute_script(
            "const x = document.querySelector(arguments[0]);"
            "return x && x.complete && x.naturalWidth ? x.src : null",
            f"#{name} img",
        ),
    )
    encoded = driver.execute_async_script(
        "const done = arguments[1]; fetch(arguments[0]).then(x => x.blob()).then(x => {"
        "const r = new FileReader(); r.onload = () => done(r.result.split(',')[1]); r.readAsDataURL(x)})",
        address,
    )
    return Image.open(io.BytesIO(base64.b64decode(encoded)))


def hosts(driver):
    """The hosts from which the browser asked for something."""
    text = " ".join(entry["message"] for entry in driver.get_log("performance"))
    requested = re.findall(r'"Network.requestWillBeSent".*?"url":"(\w+)://([^/:"]*)', text)
    return {host for kind, host in requested if kind.startswith(("http", "ws"))}


def visible(driver, label):
    """The field of this label in the tab that is open."""
    from selenium.webdriver.common.by import By

    fields = driver.find_elements(By.CSS_SELECTOR, f'input[aria-label="{label}"]')
    return next((field for field in fields if field.is_displayed()), None)


def choose(driver, label, value):
    """Type into a drop-down list."""
    from selenium.webdriver.common.keys import Keys

    box = wait(driver, lambda d: visible(d, label))
    box.click()
    box.send_keys(Keys.CONTROL, "a")
    box.send_keys(value, Keys.ENTER)


def press(driver, name):
    from selenium.webdriver.common.by import By

    button = wait(driver, lambda d: d.find_element(By.ID, name))
    wait(driver, lambda d: button.is_displayed())
    button.click()


@pytest.mark.slow
def test_in_a_browser_a_class_is_chosen_and_its_images_are_seen(server, browser, model):
    browser.get(server.address)
    choose(browser, "Class", "3")
    press(browser, "draw")
    made = np.asarray(shown(browser, "made").convert("RGB"))
    wanted = pictures.grid(ddpm_jax.load(model).sample([3] * 16, steps=4))
    assert made.shape == wanted.shape and np.abs(made.astype(int) - wanted).max() <= 1
    assert made.std() > 10
    press(browser, "way")
    moving = shown(browser, "moving")
    assert moving.is_animated and moving.size == made.shape[1::-1]
    assert hosts(browser) == {"127.0.0.1"}


@pytest.mark.slow
def test_in_a_browser_what_is_drawn_on_an_example_is_painted_anew(server, browser):
    """A stroke of 40 pixels of the screen, over the fifth row of pixels of an 8x8 image on 320."""
    from selenium.webdriver.common.action_chains import ActionChains
    from selenium.webdriver.common.by import By

    browser.get(server.address)
    tab = (By.XPATH, "//button[@role='tab'][contains(., 'Change')]")
    wait(browser, lambda d: d.find_elements(*tab))[0].click()
    wait(browser, lambda d: d.find_elements(By.CSS_SELECTOR, "#examples button img"))[3].click()
    wait(browser, lambda d: visible(d, "Class").get_attribute("value") == "3")
    time.sleep(3)  # the editor fades in
    canvas = browser.find_element(By.CSS_SELECTOR, "#real canvas")
    stroke = ActionChains(browser).move_to_element_with_offset(canvas, -140, 20)
    stroke.click_and_hold().move_by_offset(140, 0).move_by_offset(140, 0).release().perform()
    time.sleep(1)
    press(browser, "inpaint")
    made = np.asarray(shown(browser, "changed").convert("RGB"))
    # The first two of three columns of 8x8 images, enlarged eight times.
    real, known = (made[-68:-8:8, left + 4 : left + 64 : 8] for left in (8, 74))
    changed = (real != known).any(axis=-1)
    assert changed[4, 1:7].all() and not np.delete(changed, 4, axis=0).any()


@pytest.mark.slow
def test_two_clients_ask_at_once_and_memory_stays(server, record_property):
    client = pytest.importorskip("gradio_client")
    errors, answers = [], []

    def ask(seeds):
        try:
            mine = client.Client(server.address, verbose=False)
            for seed in seeds:
                path = mine.submit("3", 4, seed, 4, 1.0, "ddim", api_name="/sample").result(
                    timeout=SECONDS
                )
                with Image.open(path["path"] if isinstance(path, dict) else path) as picture:
                    answers.append(picture.size)
        except Exception as error:
            errors.append(error)

    ask([0])
    before, started = server.resident(), time.monotonic()
    threads = [threading.Thread(target=ask, args=(range(i, 50, 2),)) for i in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(5 * SECONDS)
    after, seconds = server.resident(), time.monotonic() - started
    assert not errors and len(answers) == 51 and set(answers) == {pictures_size(4)}
    text = (
        f"50 requests of two clients in {seconds:.1f} s, {before:.0f} MiB before, {after:.0f} after"
    )
    record_property("counted", text)
    assert after < before + 100


def pictures_size(number):
    grid = pictures.grid(np.zeros((number, 8, 8, 1), np.uint8))
    return grid.shape[1], grid.shape[0]


@pytest.mark.slow
def test_a_signal_ends_the_server_and_a_port_in_use_is_one_line(server, model):
    port = server.address.rpartition(":")[2]
    second = subprocess.run(
        command("--mode=serve", f"--workdir={model}", f"--config.serve.port={port}"),
        env=environment(1), cwd=ROOT, capture_output=True, text=True, timeout=SECONDS,
    )  # fmt: skip
    assert second.returncode == 2 and "Traceback" not in second.stderr
    assert f"serve.port is {port}, on which another program listens" in second.stderr
    server.process.send_signal(signal.SIGTERM)
    assert server.process.wait(SECONDS) == 0
    assert "SIGTERM: stopped" in server.process.stdout.read()
    with pytest.raises(OSError), socket.create_connection(("127.0.0.1", int(port)), SECONDS):
        pass
