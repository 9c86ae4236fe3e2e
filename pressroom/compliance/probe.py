"""What a video file is, told by its packets, and the reasons for which one is refused. Runs in the child process: files are untrusted."""

from array import array
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from fractions import Fraction
from pathlib import Path
from typing import Any

import av
from av.container import InputContainer
from av.packet import Packet
from av.stream import Disposition
from av.video.codeccontext import VideoCodecContext
from av.video.frame import VideoFrame
from av.video.stream import VideoStream

from pressroom.compliance.sampling import Sampling
from pressroom.errors import Refused
from pressroom.records import Probe

# Formats that read one file and nothing else. A playlist (hls, dash, concat) names other files and addresses, which an upload must not
# make this machine open; what is here beside the containers allowed is here so that a refusal can name it.
ISO, MATROSKA = "mov", "matroska,webm"
FORMATS = f"{ISO},mp4,m4a,3gp,3g2,mj2,{MATROSKA},avi,mpegts,mpeg,flv,asf,ogg,mxf,nut,rm,dv,h264,hevc,ivf,obu,m4v,mpegvideo,mjpeg"
SOUND = "mp3,aac,flac,wav,aiff,amr,ac3,ape,caf"
STILLS = "image2,gif,apng,jpeg_pipe,png_pipe,webp_pipe,bmp_pipe,tiff_pipe,gif_pipe,jpegxl_pipe,svg_pipe,webp_anim"
OPTIONS = {"format_whitelist": f"{FORMATS},{SOUND},{STILLS}", "protocol_whitelist": "file"}
STILL_BRANDS = frozenset({"heic", "heix", "mif1", "msf1", "avif", "avis"})
MOST_BOXES = 100_000  # outermost ones of an MP4: an hour in fragments of a second has 7,200; a file of empty boxes must not hold us up


@dataclass
class Index:
    """The packets of a video stream in decoding order.

    `pts` are in units of `time_base`, `times` in ms from the first picture, -1 for one that is never shown. `claimed_ms` is the length
    that the header promises, `found_ms` the length of all that the packets hold, sound included.
    """

    probe: Probe
    time_base: Fraction
    stream: int
    audio_stream: int | None
    claimed_ms: int
    found_ms: int
    pts: "array[int]" = field(default_factory=lambda: array("q"))
    times: "array[int]" = field(default_factory=lambda: array("q"))
    keys: bytearray = field(default_factory=bytearray)


@contextmanager
def open_video(path: Path) -> Iterator[InputContainer]:
    """The file, opened by what is in it. Raises Refused when no demuxer knows it."""
    try:
        container = av.open(f"file:{path}", options=dict(OPTIONS), metadata_errors="replace")
    except MemoryError:
        raise
    except (av.FFmpegError, ValueError) as error:
        _refuse_cut_off(path)
        raise Refused("The file is not a video, or it is damaged from its beginning on.") from error
    with container:
        yield container


def _refuse_cut_off(path: Path) -> None:
    if _lacks_index(path):
        cause = "which usually means that the upload or the recording was cut off"
        raise Refused(f"The video's index is missing, {cause}: upload it again, whole.")


def _lacks_index(path: Path) -> bool:
    """Whether an MP4 or MOV (it begins with an `ftyp` box, of no still picture) has no whole `moov` box, which mostly is its last."""
    size, at = path.stat().st_size, 0
    with path.open("rb") as file:
        for number in range(MOST_BOXES):
            file.seek(at)
            head = file.read(16)
            length, kind = int.from_bytes(head[:4]), head[4:8]
            if number == 0 and (kind != b"ftyp" or head[8:12].decode("latin-1") in STILL_BRANDS):
                return False
            length = int.from_bytes(head[8:]) if length == 1 else length or size - at  # 1: it stands after the kind; 0: to the end
            at += max(length, 8)
            if kind == b"moov":
                return at > size
            if at >= size:
                return True
    return False


def read_index(path: Path, rules: Sampling) -> Index:
    """Reads every packet once and decodes the first picture. Raises Refused with the reason, one sentence for the owner."""
    size = path.stat().st_size
    if size == 0:
        raise Refused("The file is empty.")
    if size > rules.most_bytes:
        raise Refused(f"The file has {size / 1024**3:.2f} GiB; at most {rules.most_bytes / 1024**3:g} GiB are screened.")
    with open_video(path) as container:
        name = _container(container, path)
        video = _video_stream(container, path)
        if name not in rules.containers:
            raise Refused(f"The video's container is {name}; accepted are {', '.join(rules.containers)}.")
        # Known codecs only: a stream of another has no context to ask.
        if getattr(video, "codec_context", None) is None:
            raise Refused("The video's codec is not known here, so its pictures cannot be read.")
        _refuse_long((container.duration or 0) / av.time_base, rules)
        return _walk(container, video, name, size, rules)


def _container(container: InputContainer, path: Path) -> str:
    """The container's usual name. Raises Refused for a still picture."""
    name = container.format.name
    brand = container.metadata.get("major_brand", "").strip()
    if name.startswith("image2") or name.endswith("_pipe") or name in {"gif", "apng", "webp_anim"} or brand in STILL_BRANDS:
        raise Refused("The file is a picture, not a video.")
    if name.startswith(ISO):
        return "mov" if brand in ("qt", "") else "mp4"
    if name == MATROSKA:
        with path.open("rb") as file:
            return "webm" if b"webm" in file.read(64) else "mkv"
    return name


def _video_stream(container: InputContainer, path: Path) -> VideoStream:
    """The largest stream of moving pictures; a cover picture is none. Raises Refused when there is none."""
    streams = [stream for stream in container.streams.video if not stream.disposition & Disposition.attached_pic]
    if not streams:
        _refuse_cut_off(path)  # in the middle of its index
        sound = bool(container.streams.audio)
        raise Refused("The file holds sound but no moving pictures." if sound else "The file is not a video: it holds no moving pictures.")
    return max(streams, key=lambda stream: (getattr(stream, "width", 0) or 0) * (getattr(stream, "height", 0) or 0))


def _refuse_long(seconds: float, rules: Sampling) -> None:
    if seconds > rules.most_s:
        raise Refused(f"The video is {_length(seconds)} long; at most {_length(rules.most_s)} are screened.")


def _length(seconds: float) -> str:
    minutes, rest = divmod(round(seconds), 60)
    return f"{minutes // 60}:{minutes % 60:02}:{rest:02}"


def _walk(container: InputContainer, video: VideoStream, name: str, size: int, rules: Sampling) -> Index:
    audio = next(iter(container.streams.audio), None)
    base = video.time_base or Fraction(1, 1000)
    picture = _FirstPicture(video)
    pts, keys, discarded = array("q"), bytearray(), bytearray()
    last_duration = 0
    spans: dict[int, tuple[int, int]] = {}
    packets = container.demux([video, audio] if audio is not None else [video])
    while True:
        try:
            packet = next(packets, None)
        except MemoryError:
            raise
        except av.FFmpegError:  # the file ends here, whatever its header says
            break
        if packet is None:
            break
        time = packet.pts if packet.pts is not None else packet.dts
        if packet.size == 0 or time is None:
            continue
        _stretch(spans, packet, time)
        if packet.stream_index != video.index:
            continue
        if packet.has_sidedata("encryption_info"):
            raise Refused("The video is encrypted.")
        pts.append(time)
        keys.append(packet.is_keyframe)
        discarded.append(packet.is_discard)
        last_duration = packet.duration or last_duration
        picture.offer(packet)
    frame = picture.frame()
    index = _indexed(pts, keys, discarded, base)
    if frame is None or not index[1]:
        raise Refused("None of the video's pictures can be decoded.")
    first, times, shown = index
    last = shown[-1]
    average = (last - shown[0]) / (len(shown) - 1) if len(shown) > 1 else 1000 / float(video.average_rate or 25)
    duration = last + max(1, round(last_duration * base * 1000) or round(average))
    _refuse_long(duration / 1000, rules)
    width, height, rotation = shown_size(frame, video.sample_aspect_ratio)
    key_times = sorted(time for time, key in zip(times, keys, strict=True) if key and time >= 0)
    steps = [after - before for before, after in zip(key_times, [*key_times[1:], duration], strict=True)]
    context = audio.codec_context if audio is not None else None
    probe = Probe(
        container=name,
        size=size,
        duration_ms=duration,
        start_ms=round(first * base * 1000),
        video_codec=video.codec_context.codec.canonical_name,
        pixel_format=frame.format.name,
        width=width,
        height=height,
        rotation=rotation,
        fps=round(len(shown) * 1000 / duration, 3),
        video_packets=len(pts),
        keyframes=sum(keys),
        largest_keyframe_gap_ms=max(steps, default=duration),
        audio_codec=context.codec.canonical_name if context else None,
        sample_rate=context.sample_rate if context else None,
        channels=context.channels if context else None,
    )
    bases = {stream.index: float(stream.time_base or base) for stream in (video, audio) if stream is not None}
    begin, end = min(low * bases[at] for at, (low, _) in spans.items()), max(high * bases[at] for at, (_, high) in spans.items())
    return Index(
        probe=probe,
        time_base=base,
        stream=video.index,
        audio_stream=audio.index if audio is not None and context is not None else None,
        claimed_ms=round((container.duration or 0) / av.time_base * 1000),
        found_ms=round(max(end - begin, end) * 1000),  # some headers count from 0, some from the first packet
        pts=pts,
        times=times,
        keys=keys,
    )


def _stretch(spans: dict[int, tuple[int, int]], packet: "Packet[Any]", time: int) -> None:
    """Widens what is known of the stream's extent, in units of its time base: a fraction made for each packet takes as long as the rest."""
    end, known = time + (packet.duration or 0), spans.get(packet.stream_index)
    if known is None:
        spans[packet.stream_index] = (time, end)
    elif time < known[0] or end > known[1]:
        spans[packet.stream_index] = (min(time, known[0]), max(end, known[1]))


def _indexed(pts: "array[int]", keys: bytearray, discarded: bytearray, base: Fraction) -> tuple[int, "array[int]", list[int]]:
    """The first shown time in units of `base`, all times in ms (-1: never shown), and those that are shown, ascending."""
    first = min((time for time, out in zip(pts, discarded, strict=True) if not out), default=0)
    scale = float(base) * 1000
    times = array("q", (-1 if out else round((time - first) * scale) for time, out in zip(pts, discarded, strict=True)))
    if not any(keys) and keys:
        keys[0] = 1  # a stream that marks no keyframe begins with one, or nothing of it can be decoded
    return first, times, sorted(time for time in times if time >= 0)


def check_memory(context: VideoCodecContext) -> None:
    """Raises MemoryError if there is no room for a picture and its copy: decoders that get none speak of invalid data."""
    bytearray(4 * context.width * context.height)


class _FirstPicture:
    """Decodes from the first packet on, until a picture comes out: the header does not know its format and rotation for sure."""

    def __init__(self, video: VideoStream) -> None:
        self._context = video.codec_context
        self._context.thread_type = "SLICE"  # AUTO hangs for ever when a decode is left early
        self._found: VideoFrame | None = None

    def offer(self, packet: "Packet[Any] | None") -> None:
        if self._found is not None:
            return
        try:
            self._found = next(iter(self._context.decode(packet)), None)
        except MemoryError:
            raise
        except av.FFmpegError:
            check_memory(self._context)

    def frame(self) -> VideoFrame | None:
        with suppress(EOFError):
            self.offer(None)
        return self._found


def shown_size(frame: VideoFrame, aspect: Fraction | None) -> tuple[int, int, int]:
    """Width and height as shown, in pixels, and the degrees clockwise that the decoded picture is turned for it."""
    rotation = round(-frame.rotation / 90) * 90 % 360
    width = max(1, round(frame.width * (aspect or 1)))
    return (frame.height, width, rotation) if rotation in (90, 270) else (width, frame.height, rotation)
