"""--mode=serve as a process: in a browser, and by two clients at once."""

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

import numpy as np
import pytest
from PIL import Image
from tiny_run import ROOT, command, quick_environment

import ddpm_jax
from ddpm_jax.viz import pictures

CHROMIUM = shutil.which("chromium") or shutil.which("google-chrome")
DRIVER = shutil.which("chromedriver")
SECONDS = 240
"""What one wait may take on a busy machine."""


class Server:
    """The program as a process; `address` is what it printed."""

    def __init__(self, workdir, *flags):
        self.process = subprocess.Popen(
            command("--mode=serve", f"--workdir={workdir}", "--config.serve.port=0", *flags),
            env=quick_environment(), cwd=ROOT, text=True,
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


@pytest.fixture(scope="module")
def workdir(trained_once, tmp_path_factory):
    return shutil.copytree(trained_once, tmp_path_factory.mktemp("served") / "run")


@pytest.fixture(scope="module")
def server(workdir):
    """One for all tests; the last one ends it."""
    if importlib.util.find_spec("gradio") is None:
        pytest.skip("the extra `serve` is not installed")
    started = Server(workdir)
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
def test_in_a_browser_a_class_is_chosen_and_its_images_are_seen(server, browser, workdir):
    browser.get(server.address)
    choose(browser, "Class", "3")
    press(browser, "draw")
    made = np.asarray(shown(browser, "made").convert("RGB"))
    wanted = pictures.grid(ddpm_jax.load(workdir).sample([3] * 16, steps=4))
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
def test_a_signal_ends_the_server_and_a_port_in_use_is_one_line(server, workdir):
    port = server.address.rpartition(":")[2]
    second = subprocess.run(
        command("--mode=serve", f"--workdir={workdir}", f"--config.serve.port={port}"),
        env=quick_environment(), cwd=ROOT, capture_output=True, text=True, timeout=SECONDS,
    )  # fmt: skip
    assert second.returncode == 2 and "Traceback" not in second.stderr
    assert f"serve.port is {port}, on which another program listens" in second.stderr
    server.process.send_signal(signal.SIGTERM)
    assert server.process.wait(SECONDS) == 0
    assert "SIGTERM: stopped" in server.process.stdout.read()
    with pytest.raises(OSError), socket.create_connection(("127.0.0.1", int(port)), SECONDS):
        pass
