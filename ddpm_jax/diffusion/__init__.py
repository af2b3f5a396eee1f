"""Arrays in, arrays out: this island knows no network, no file and no device.

    schedules <- process <- predictions <- losses, solvers, guidance <- editing, likelihood

Names, the same in every file:

    x0, xt, eps     clean image, noised image, noise:  xt = alpha x0 + sigma eps
    alpha, sigma    any pair: variance-preserving, EDM's (alpha = 1), a blend (alpha + sigma = 1)
    t               1..T, 0 is the clean image; tables have T + 1 rows
    now, nxt        the levels before and after a sampler's step, nxt the cleaner
    v               alpha eps - sigma x0
    log_snr         2 log(alpha / sigma)
    _hat            suffix of estimates
"""
