// Copyright The otelcol-anonymizer Authors
// SPDX-License-Identifier: Apache-2.0

package picture

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"image"
	"image/jpeg"
	"image/png"
	"io"
	"io/fs"
	"os"
	"syscall"

	"golang.org/x/image/tiff"
	"golang.org/x/image/webp"

	"github.com/otelcol-anonymizer/otelcol-anonymizer/receiver/videoanonymizer/internal/durable"
	"github.com/otelcol-anonymizer/otelcol-anonymizer/receiver/videoanonymizer/internal/media"
)

// Options control how a picture is written.
type Options struct {
	// WebPQuality is the quality of lossy WebP outputs, and JPEGQuality that of JPEGs made from HEICs, 1 to 100. Other
	// formats keep their own quality.
	WebPQuality, JPEGQuality int
	// Keep lists the EXIF tags to keep by name, such as creation_time. Unknown names are ignored.
	Keep []string
}

// Info describes the picture in a file.
type Info struct {
	Format Format
	// Width and Height are in pixels, as displayed.
	Width, Height int
	// Size is the size of the file, in bytes.
	Size int64
	// LeftOut describes the pictures and videos in the file that are not in the output.
	LeftOut []string

	hidden int64 // pixels that are decoded but not shown
}

// Pixels returns the number of decoded pixels that are in memory at once.
func (i Info) Pixels() int64 { return int64(i.Width)*int64(i.Height) + i.hidden }

// Picture is a decoded picture. One goroutine at a time may use it.
type Picture struct {
	Info
	path   string
	header header
	canvas canvas
}

// File is the file of a picture, of which only the header has been read.
type File struct {
	Info
	path   string
	limits media.Limits
	header header
}

// Stat returns the size in bytes of the file at path, which is how much memory Read takes. It fails as Read does.
func Stat(path string) (int64, error) {
	info, err := os.Stat(path)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return 0, named(path, fmt.Errorf("%w: no such file", media.ErrVanished))
	case err != nil:
		return 0, named(path, fmt.Errorf("%w: %w", media.ErrUnreadable, err))
	}
	return info.Size(), nil
}

// Read reads the file at path, and keeps its header. It fails with media.ErrVanished, media.ErrUnreadable, media.ErrIO,
// media.ErrNotPicture, media.ErrDamaged, media.ErrUnsupported or media.ErrLimit. Errors name the file.
func Read(path string, limits media.Limits) (*File, error) {
	f, _, err := read(path, limits)
	return f, err
}

func read(path string, limits media.Limits) (*File, []byte, error) {
	data, err := readFile(path, limits)
	if err != nil {
		return nil, nil, named(path, err)
	}
	f := &File{path: path, limits: limits}
	if f.header, err = readHeader(data); err != nil {
		return nil, nil, named(path, err)
	}
	w, h := turns[f.header.orientation].size(f.header.width, f.header.height)
	f.Info = Info{Format: f.header.format, Width: w, Height: h, Size: int64(len(data)), LeftOut: f.header.leftOut}
	err = limits.CheckSize(w, h)
	if x := &f.header.heic; err == nil && f.Format == HEIC {
		f.hidden = int64(x.coded.X*x.coded.Y + x.tiles.Width*x.tiles.Height - w*h)
		err = limits.CheckSize(x.coded.X, x.coded.Y)
	}
	if err != nil {
		return nil, nil, named(path, err)
	}
	return f, data, nil
}

func named(path string, err error) error { return fmt.Errorf("%q: %w", path, err) }

// readFile reads a regular file, unless it is larger than any picture within the limits can be.
func readFile(path string, limits media.Limits) ([]byte, error) {
	f, err := durable.Open(path, os.O_RDONLY)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return nil, fmt.Errorf("%w: no such file", media.ErrVanished)
	case errors.Is(err, durable.ErrNotRegular), errors.Is(err, syscall.ELOOP), errors.Is(err, syscall.ENXIO):
		return nil, fmt.Errorf("%w: not a regular file", media.ErrNotPicture)
	case err != nil:
		return nil, fmt.Errorf("%w: %w", media.ErrUnreadable, err)
	}
	defer f.Close()
	start := make([]byte, 16)
	n, err := io.ReadFull(f, start)
	if n > 0 && formatOf(start[:n]) == "" { // it may be a video of any size
		return nil, unknown(start[:n])
	}
	// 16-bit RGBA for each pixel, and 64 MiB for what is not read.
	most := 8*limits.Pixels() + 64<<20
	data := start[:n]
	if err == nil {
		var info fs.FileInfo
		if info, err = f.Stat(); err == nil && info.Size() <= most {
			var whole bytes.Buffer
			whole.Grow(int(info.Size()) + bytes.MinRead)
			whole.Write(start)
			_, err = whole.ReadFrom(io.LimitReader(f, most+1-int64(n)))
			data = whole.Bytes()
		} else if err == nil {
			err = fmt.Errorf("%w: a file of more than %d bytes", media.ErrLimit, most)
		}
	} else if errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF) {
		err = nil
	}
	switch {
	case errors.Is(err, media.ErrLimit):
		return nil, err
	case err != nil:
		return nil, fmt.Errorf("%w: %w", media.ErrIO, err)
	case int64(len(data)) > most:
		return nil, fmt.Errorf("%w: a file of more than %d bytes", media.ErrLimit, most)
	case len(data) == 0:
		return nil, fmt.Errorf("%w: empty", media.ErrNotPicture)
	}
	return data, nil
}

// Decode reads the file again and decodes the picture; only HEIC needs tools. It fails as Read does, with
// media.ErrVanished if the file now holds another picture, as media.Tools.DecodeHEVC does, or with the context's error.
func (f *File) Decode(ctx context.Context, tools media.Tools) (*Picture, error) {
	now, data, err := read(f.path, f.limits)
	if err != nil {
		return nil, err
	}
	if now.Format != f.Format || now.Width != f.Width || now.Height != f.Height || now.Size != f.Size {
		return nil, named(f.path, fmt.Errorf("%w: it changed since it was first read", media.ErrVanished))
	}
	return now.decode(ctx, data, tools)
}

// decode decodes the picture in data, the content of the file.
func (f *File) decode(ctx context.Context, data []byte, tools media.Tools) (*Picture, error) {
	p := &Picture{Info: f.Info, path: f.path, header: f.header}
	var err error
	if f.Format == HEIC {
		p.canvas, err = decodeHEIC(ctx, &p.header, tools, f.limits)
	} else {
		p.canvas, err = decodeCanvas(ctx, data, &p.header)
	}
	if err != nil {
		return nil, named(f.path, err)
	}
	return p, nil
}

func decodeCanvas(ctx context.Context, data []byte, h *header) (canvas, error) {
	decoded, err := decode(ctx, data, h)
	if err != nil {
		return nil, err
	}
	return newCanvas(decoded, h)
}

func newCanvas(decoded image.Image, h *header) (canvas, error) {
	if err := h.checkSize(decoded.Bounds().Size()); err != nil {
		return nil, err
	}
	if h.format == JPEG {
		return newJPEGCanvas(decoded, h)
	}
	return newPixelCanvas(decoded, h)
}

// decoders are the functions that read the size of a picture, and those that decode it.
var decoders = map[Format]struct {
	config func(io.Reader) (image.Config, error)
	decode func(io.Reader) (image.Image, error)
}{
	JPEG: {jpeg.DecodeConfig, jpeg.Decode},
	PNG:  {png.DecodeConfig, png.Decode},
	WebP: {webp.DecodeConfig, webp.Decode},
	TIFF: {tiff.DecodeConfig, tiff.Decode},
}

// decode decodes a file whose header was checked. It first makes sure that the decoder finds the size in that header,
// because the decoder allocates memory by what it finds. If the decoder panics, decode returns media.ErrDamaged.
func decode(ctx context.Context, data []byte, h *header) (decoded image.Image, err error) {
	defer func() {
		if p := recover(); p != nil {
			decoded, err = nil, fmt.Errorf("%w: the decoder failed: %v", media.ErrDamaged, p)
		}
	}()
	from := &contextReader{ctx: ctx, Reader: bytes.NewReader(data)}
	config, err := decoders[h.format].config(from)
	if err == nil {
		if err := h.checkSize(image.Pt(config.Width, config.Height)); err != nil {
			return nil, err
		}
		from.Reset(data)
		decoded, err = decoders[h.format].decode(from)
	}
	switch {
	case err == nil:
		return decoded, nil
	case ctx.Err() != nil:
		return nil, context.Cause(ctx)
	case errors.As(err, new(jpeg.UnsupportedError)), errors.As(err, new(png.UnsupportedError)),
		errors.As(err, new(tiff.UnsupportedError)):
		return nil, fmt.Errorf("%w: %w: convert it to PNG, or to an ordinary JPEG", media.ErrUnsupported, err)
	}
	return nil, fmt.Errorf("%w: it cannot be decoded: %w", media.ErrDamaged, err)
}

// contextReader fails once the context ends. It is an io.ReaderAt, because the TIFF decoder would otherwise buffer the
// file once more.
type contextReader struct {
	ctx context.Context
	*bytes.Reader
}

func (r *contextReader) Read(b []byte) (int, error) {
	if r.ctx.Err() != nil {
		return 0, context.Cause(r.ctx)
	}
	return r.Reader.Read(b)
}

// Frames returns the frames of the picture, upright, for the pipeline to mask in place: usually one, but several if the
// picture can be seen in several ways, for example with transparency or 16 bits. A frame takes up to 4 bytes per pixel.
// Its alpha plane is not the picture's, see canvas.
func (p *Picture) Frames() []*media.Frame { return p.canvas.frames() }

// EstimateSize returns about the most bytes that Write writes.
func (i Info) EstimateSize() int64 {
	if i.Format == JPEG {
		return 2*i.Size + 64<<10
	}
	return 8*i.Pixels() + 64<<10
}

// Write writes the picture, masked where any of its Frames is masked, to a new file at path, reads that again, and
// compares. The file contains only pixels and what the package comment lists, such as Options.Keep. Write fails with
// media.ErrVerification if the file is not what was intended, or with an error of the file system.
func (p *Picture) Write(ctx context.Context, path string, masked []*media.Frame, opts Options) error {
	p.canvas.paint(masked)
	data, err := p.canvas.encode(&p.header, opts, kept(p.header.tags, opts.Keep))
	if err == nil {
		err = writeFile(path, data)
	}
	if err == nil {
		err = p.verify(ctx, path, len(data))
	}
	if err != nil {
		return named(p.path, err)
	}
	return nil
}

func writeFile(path string, data []byte) error {
	f, err := durable.Create(path)
	if err != nil {
		return media.WriteError(err)
	}
	_, err = f.Write(data)
	return media.WriteError(errors.Join(err, f.Close()))
}

// How much a lossy output may differ from the pixels that were encoded, on average, in 8-bit steps: JPEGs with the
// tables of their source differ by less than 1, and WebP of quality 1 by less than 20.
const (
	mostLossy       = 24
	mostLossyMasked = 40 // the edges of masks are sharp
)

// verify reads an output again, and compares it with the canvas.
func (p *Picture) verify(ctx context.Context, path string, size int) error {
	limits := media.Limits{MaxWidth: p.header.width + p.header.height, MaxHeight: p.header.width + p.header.height,
		MaxPixels: max(p.Pixels(), int64(size))}
	written, data, err := read(path, limits)
	if err != nil {
		return fmt.Errorf("%w: the output cannot be read again: %w", media.ErrVerification, err)
	}
	format := p.Format.written()
	if written.Format != format || written.Width != p.Width || written.Height != p.Height {
		return fmt.Errorf("%w: the output is a %s of %d x %d pixels", media.ErrVerification, written.Format, written.Width,
			written.Height)
	}
	got, err := written.decode(ctx, data, media.Tools{})
	switch {
	case ctx.Err() != nil:
		return context.Cause(ctx)
	case err != nil:
		return fmt.Errorf("%w: the output cannot be decoded: %w", media.ErrVerification, err)
	}
	d, err := p.canvas.differs(got.canvas)
	lossy := format == JPEG || format == WebP && p.header.lossy
	switch {
	case err != nil:
		return err
	case !lossy && d.most > 0, d.mean > mostLossy, d.masked > mostLossyMasked:
		return fmt.Errorf("%w: the output shows other pixels than were written: %.1f of 255 on average, %.1f under masks",
			media.ErrVerification, d.mean, d.masked)
	}
	return nil
}
