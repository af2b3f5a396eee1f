"""A PyTorch script's first training step on digits: diffusers' network of the same size, the same batch.

    python -m benchmarks.peer_launch

Prints the loss and the number of parameters. `benchmarks.launch` measures how long it takes from its launch.
"""

import diffusers
import torch

BATCH = 128


def main() -> None:
    torch.manual_seed(0)
    net = diffusers.UNet2DModel(
        sample_size=8,
        in_channels=1,
        out_channels=1,
        block_out_channels=(32, 64),
        layers_per_block=2,
        down_block_types=("DownBlock2D", "DownBlock2D"),
        up_block_types=("UpBlock2D", "UpBlock2D"),
        num_class_embeds=11,
    )
    optimizer = torch.optim.AdamW(net.parameters(), 1e-3)
    scheduler = diffusers.DDPMScheduler(1000, beta_schedule="squaredcos_cap_v2")
    image, noise = torch.randn(2, BATCH, 1, 8, 8)
    t, label = torch.randint(0, 1000, (BATCH,)), torch.randint(0, 10, (BATCH,))
    made = net(scheduler.add_noise(image, noise, t), t, class_labels=label).sample
    loss = torch.nn.functional.mse_loss(made, noise)
    loss.backward()
    optimizer.step()
    print(loss.item(), sum(leaf.numel() for leaf in net.parameters()))


if __name__ == "__main__":
    main()
