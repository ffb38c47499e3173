"""Tiny copies of the published datasets' trees, with pictures that tell where they come from."""

import cv2
import numpy as np

from maskflownet.reader.flow_files import write_flo, write_kitti_png

SIZE = (6, 8)


def picture(path, seed=0, size=SIZE):
    """Write random colours, BGR, and return them."""
    image = np.random.default_rng(seed).integers(0, 256, (*size, 3), np.uint8)
    path.parent.mkdir(parents=True, exist_ok=True)
    assert cv2.imwrite(str(path), image)
    return image


def mask(path, marked, size=SIZE):
    """Write a grey picture that is white at the (row, column)s `marked`."""
    image = np.zeros(size, np.uint8)
    for row, column in marked:
        image[row, column] = 255
    path.parent.mkdir(parents=True, exist_ok=True)
    assert cv2.imwrite(str(path), image)


def flow_file(path, u, valid=None, size=SIZE):
    """Write a flow of (u, 1) everywhere, .flo or KITTI's .png."""
    flow = np.empty((*size, 2), np.float32)
    flow[...] = u, 1
    path.parent.mkdir(parents=True, exist_ok=True)
    if path.suffix == ".png":
        write_kitti_png(path, flow, valid)
    else:
        write_flo(path, flow)


def chairs(root, marks, there=None):
    """Make FlyingChairs with a split file of these marks; `there` are the pairs that exist."""
    for number in there or range(1, len(marks) + 1):
        picture(root / f"data/{number:05d}_img1.ppm", 2 * number)
        picture(root / f"data/{number:05d}_img2.ppm", 2 * number + 1)
        flow_file(root / f"data/{number:05d}_flow.flo", number)
    (root / "FlyingChairs_train_val.txt").write_text("".join(f"{mark}\n" for mark in marks))
    return {"chairs": root}


def sintel(root, frames, occlusions=True):
    """Make Sintel with sequences of so many frames."""
    training = root / "training"
    for sequence, count in frames.items():
        for frame in range(1, count + 1):
            name = f"{sequence}/frame_{frame:04d}"
            for seed, render in enumerate(("clean", "final")):
                picture(training / render / f"{name}.png", 10 * frame + seed)
            if frame < count:
                flow_file(training / "flow" / f"{name}.flo", frame)
                mask(training / "invalid" / f"{name}.png", [(0, 1)])
                if occlusions:
                    mask(training / "occlusions" / f"{name}.png", [(2, 3)])
    return {"sintel": root}


def kitti(root, year, numbers, noc=True, size=SIZE):
    """Make pairs of KITTI; (0, 0) has no ground truth, and (1, 1) is occluded."""
    training = root / str(year) / "training"
    images = {2012: "colored_0", 2015: "image_2"}[year]
    valid = np.full((*size, 1), 255, np.uint8)
    valid[0, 0] = 0
    visible = valid.copy()
    visible[1, 1] = 0
    for number in numbers:
        picture(training / images / f"{number:06d}_10.png", 2 * number, size)
        picture(training / images / f"{number:06d}_11.png", 2 * number + 1, size)
        flow_file(training / f"flow_occ/{number:06d}_10.png", number, valid, size)
        if noc:
            flow_file(training / f"flow_noc/{number:06d}_10.png", number, visible, size)
    return {"kitti": root}


def hd1k(root, frames, size=(104, 206)):
    """Make HD1K with these (sequence, frame)s."""
    for sequence, frame in frames:
        name = f"{sequence:06d}_{frame:04d}.png"
        picture(root / "hd1k_input/image_2" / name, frame, size)
        flow_file(root / "hd1k_flow_gt/flow_occ" / name, frame, size=size)
    return {"hd1k": root}


def things3d(root, frames, parts=("train",)):
    """Make the FlyingThings3D subset with these frames; flow where the other frame exists."""
    for part in parts:
        for camera in ("left", "right"):
            for frame in frames:
                for seed, render in enumerate(("clean", "final")):
                    folder = root / part / f"image_{render}" / camera
                    picture(folder / f"{frame:07d}.png", 10 * frame + seed)
                for direction, step in (("into_future", 1), ("into_past", -1)):
                    if frame + step in frames:
                        folder = root / part / "flow" / camera / direction
                        flow_file(folder / f"{frame:07d}.flo", step * frame)
    return {"things3d": root}
