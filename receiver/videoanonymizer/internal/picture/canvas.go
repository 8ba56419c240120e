// Copyright The otelcol-anonymizer Authors
// SPDX-License-Identifier: Apache-2.0

package picture

import (
	"encoding/binary"
	"fmt"
	"image"
	"image/draw"

	"github.com/otelcol-anonymizer/otelcol-anonymizer/receiver/videoanonymizer/internal/media"
)

// canvas is a decoded picture. It makes frames for the pipeline, and takes back what was masked in any of them.
//
// The alpha plane of a frame does not come from the picture. It starts as zero, and whatever covers a part of the
// frame, with any fill, makes it opaque there. So it tells exactly which pixels were masked, no matter what they show.
type canvas interface {
	// frames returns new frames, upright: one for each way to see the picture.
	frames() []*media.Frame
	// paint copies what is masked in any of those frames into the picture.
	paint(masked []*media.Frame)
	// encode returns the picture as a file.
	encode(h *header, opts Options, tags []tag) ([]byte, error)
	// differs returns how far another picture is from this one: the mean difference of samples, in 8-bit steps, overall
	// and where this one is masked, and the largest difference.
	differs(from canvas) (difference, error)
}

type difference struct {
	mean, masked float64
	most         int
}

// newFrame returns a frame in full-range BT.601, as in JFIF, with an alpha plane of zeros.
func newFrame(width, height, shiftX, shiftY int) *media.Frame {
	f := &media.Frame{
		Width: width, Height: height, FullRange: true, BT601: true,
		Format: media.PixelFormat{
			Name: "yuva picture", Depth: 8, ChromaShiftX: shiftX, ChromaShiftY: shiftY, Planes: 3, Alpha: true,
		},
	}
	for i := range f.Format.AllPlanes() {
		w, h := f.Format.PlaneSize(i, width, height)
		f.Planes[i] = media.Plane{Data: make([]byte, w*h), Width: w, Height: h}
	}
	return f
}

// covered returns a byte for each pixel of a frame, which is not 0 where the pixel is masked.
func covered(f *media.Frame) []byte { return f.Planes[3].Data }

// jpegCanvas keeps the planes of a JPEG as they are coded, without color conversion.
type jpegCanvas struct {
	planes
	turn turn   // for display
	mask []byte // by stored pixel
}

func newJPEGCanvas(decoded image.Image, h *header) (*jpegCanvas, error) {
	size := decoded.Bounds().Size()
	c := &jpegCanvas{planes: planes{width: size.X, height: size.Y, quant: h.jpeg.quant}, turn: turns[h.orientation]}
	table := func(i int) uint8 { return h.jpeg.components[min(i, len(h.jpeg.components)-1)].table }
	switch p := decoded.(type) {
	case *image.Gray:
		c.components = []component{cut(p.Pix, p.Stride, size, 1, 1, table(0))}
	case *image.YCbCr:
		x, y := shifts(p.SubsampleRatio)
		chroma := image.Pt((size.X+1<<x-1)>>x, (size.Y+1<<y-1)>>y)
		c.components = []component{
			cut(p.Y, p.YStride, size, 1<<x, 1<<y, table(0)),
			cut(p.Cb, p.CStride, chroma, 1, 1, table(1)), cut(p.Cr, p.CStride, chroma, 1, 1, table(2)),
		}
	case *image.RGBA: // coded as RGB, which few programs support
		f := newFrame(size.X, size.Y, 0, 0)
		toPlanes(f, func(y int, row []byte) { copy(row, p.Pix[y*p.Stride:][:4*size.X]) })
		for i := range 3 {
			c.components = append(c.components, component{f.Planes[i].Data, size.X, size.Y, 1, 1, table(i)})
		}
	default:
		return nil, fmt.Errorf("%w: a JPEG decoded to %T", media.ErrUnsupported, decoded)
	}
	return c, nil
}

// cut copies a plane without the padding of its rows, which holds pixels that no viewer shows.
func cut(pix []byte, stride int, size image.Point, h, v int, table uint8) component {
	data := make([]byte, 0, size.X*size.Y)
	for y := range size.Y {
		data = append(data, pix[y*stride:][:size.X]...)
	}
	return component{data, size.X, size.Y, h, v, table}
}

// shifts returns log2 of the chroma subsampling.
func shifts(ratio image.YCbCrSubsampleRatio) (x, y int) {
	switch ratio {
	case image.YCbCrSubsampleRatio422:
		return 1, 0
	case image.YCbCrSubsampleRatio420:
		return 1, 1
	case image.YCbCrSubsampleRatio440:
		return 0, 1
	case image.YCbCrSubsampleRatio411:
		return 2, 0
	case image.YCbCrSubsampleRatio410:
		return 2, 1
	}
	return 0, 0
}

func (c *jpegCanvas) frames() []*media.Frame { return []*media.Frame{c.frame()} }

func (c *jpegCanvas) frame() *media.Frame {
	w, h := c.turn.size(c.width, c.height)
	if len(c.components) == 1 {
		f := newFrame(w, h, 1, 1)
		copy(f.Planes[0].Data, c.turn.plane(c.components[0].data, c.width, c.height, 1))
		for _, plane := range f.Planes[1:3] {
			for i := range plane.Data {
				plane.Data[i] = 128
			}
		}
		return f
	}
	x, y := c.components[0].h>>1, c.components[0].v>>1 // log2 of 1, 2 or 4
	x, y = c.turn.size(x, y)
	f := newFrame(w, h, x, y)
	for i, p := range c.components {
		copy(f.Planes[i].Data, c.turn.plane(p.data, p.width, p.height, 1))
	}
	return f
}

func (c *jpegCanvas) paint(masked []*media.Frame) {
	f, back := masked[0], c.turn.back()
	for i := range c.components {
		p := f.Planes[i]
		c.components[i].data = back.plane(p.Data, p.Width, p.Height, 1)
	}
	c.mask = back.plane(covered(f), f.Width, f.Height, 1)
}

func (c *jpegCanvas) encode(h *header, _ Options, tags []tag) ([]byte, error) {
	return encodeJPEG(&c.planes, h, tags)
}

func (c *jpegCanvas) differs(from canvas) (difference, error) {
	other, ok := from.(*jpegCanvas)
	if !ok || other.width != c.width || other.height != c.height || len(other.components) != len(c.components) {
		return difference{}, fmt.Errorf("%w: the output has another size or other components", media.ErrVerification)
	}
	var sum sums
	for i := range c.components {
		a, b := &c.components[i], &other.components[i]
		if a.width != b.width || a.height != b.height {
			return difference{}, fmt.Errorf("%w: the output has another subsampling", media.ErrVerification)
		}
		mask := c.mask
		if i > 0 {
			mask = nil
		}
		sum.add(a.data, b.data, mask)
	}
	return sum.difference(), nil
}

// sums adds up differences.
type sums struct {
	all, masked, count, maskedCount int64
	most                            int
}

// add adds the differences of two planes. mask, if not nil, has one byte for each of theirs.
func (s *sums) add(a, b, mask []byte) {
	for i, v := range a {
		d := int(v) - int(b[i])
		d = max(d, -d)
		s.all += int64(d)
		s.most = max(s.most, d)
		if mask != nil && mask[i] != 0 {
			s.masked += int64(d)
			s.maskedCount++
		}
	}
	s.count += int64(len(a))
}

func (s *sums) difference() difference {
	return difference{
		mean: float64(s.all) / float64(max(1, s.count)), masked: float64(s.masked) / float64(max(1, s.maskedCount)),
		most: s.most,
	}
}

// pixelCanvas has pixels that are not coded as planes. Pixels that are not masked keep all their bits.
type pixelCanvas struct {
	pixels draw.Image // upright: *image.Gray, *image.Gray16, *image.NRGBA or *image.NRGBA64, without padding
	views  []view
	mask   []byte // one byte per pixel
}

func newPixelCanvas(decoded image.Image, h *header) (*pixelCanvas, error) {
	pixels, err := unify(decoded)
	if err != nil {
		return nil, err
	}
	pixels = turns[h.orientation].pixels(pixels)
	return &pixelCanvas{pixels: pixels, views: viewsOf(pixels)}, nil
}

// unify returns a picture, without loss, as one of four types without row padding.
func unify(decoded image.Image) (draw.Image, error) {
	size := decoded.Bounds().Size()
	r := image.Rectangle{Max: size}
	rows := func(pix []byte, stride, bytes int) []byte {
		if stride == size.X*bytes {
			return pix[:stride*size.Y]
		}
		var all []byte
		for y := range size.Y {
			all = append(all, pix[y*stride:][:size.X*bytes]...)
		}
		return all
	}
	switch p := decoded.(type) {
	case *image.Gray:
		return &image.Gray{Pix: rows(p.Pix, p.Stride, 1), Stride: size.X, Rect: r}, nil
	case *image.Gray16:
		return &image.Gray16{Pix: rows(p.Pix, p.Stride, 2), Stride: 2 * size.X, Rect: r}, nil
	case *image.NRGBA:
		return &image.NRGBA{Pix: rows(p.Pix, p.Stride, 4), Stride: 4 * size.X, Rect: r}, nil
	case *image.NRGBA64:
		return &image.NRGBA64{Pix: rows(p.Pix, p.Stride, 8), Stride: 8 * size.X, Rect: r}, nil
	case *image.RGBA:
		if p.Opaque() {
			return &image.NRGBA{Pix: rows(p.Pix, p.Stride, 4), Stride: 4 * size.X, Rect: r}, nil
		}
	case *image.RGBA64:
		if p.Opaque() {
			return &image.NRGBA64{Pix: rows(p.Pix, p.Stride, 8), Stride: 8 * size.X, Rect: r}, nil
		}
		to := image.NewNRGBA64(r)
		draw.Draw(to, r, p, p.Rect.Min, draw.Src)
		return to, nil
	case *image.YCbCr:
		return fromWebP(p, nil, 0), nil
	case *image.NYCbCrA:
		return fromWebP(&p.YCbCr, p.A, p.AStride), nil
	case *image.CMYK:
		return nil, fmt.Errorf("%w: its colors are for print (CMYK) and depend on the press: convert it to RGB",
			media.ErrUnsupported)
	}
	to := image.NewNRGBA(r)
	draw.Draw(to, r, decoded, decoded.Bounds().Min, draw.Src)
	return to, nil
}

// fromWebP converts the planes of a lossy WebP. They are limited-range BT.601 (RFC 6386, 9.2), unlike image.YCbCr.
func fromWebP(p *image.YCbCr, alpha []byte, stride int) *image.NRGBA {
	size := p.Rect.Size()
	to := image.NewNRGBA(image.Rectangle{Max: size})
	for y := range size.Y {
		row := to.Pix[y*to.Stride:]
		for x := range size.X {
			chroma := y/2*p.CStride + x/2
			luma := 76309 * (int(p.Y[y*p.YStride+x]) - 16)
			u, v := int(p.Cb[chroma])-128, int(p.Cr[chroma])-128
			row[4*x] = toByte(luma + 104597*v)
			row[4*x+1] = toByte(luma - 25675*u - 53279*v)
			row[4*x+2] = toByte(luma + 132201*u)
			row[4*x+3] = 255
			if alpha != nil {
				row[4*x+3] = alpha[y*stride+x]
			}
		}
	}
	return to
}

// toByte rounds a fixed-point number with 16 fractional bits.
func toByte(v int) byte { return byte(max(0, min(255, (v+1<<15)>>16))) }

func (c *pixelCanvas) frames() []*media.Frame {
	var all []*media.Frame
	for _, v := range c.views {
		all = append(all, v.frame(c.pixels))
	}
	return all
}

// toPlanes converts rows of RGB and an unused fourth byte, which rowAt fills, to the planes of a 4:4:4 frame (JFIF
// 1.02).
func toPlanes(f *media.Frame, rowAt func(y int, row []byte)) {
	row := make([]byte, 4*f.Width)
	for y := range f.Height {
		rowAt(y, row)
		at := y * f.Width
		luma, blue, red := f.Planes[0].Data[at:], f.Planes[1].Data[at:], f.Planes[2].Data[at:]
		for x := range f.Width {
			r, g, b := int(row[4*x]), int(row[4*x+1]), int(row[4*x+2])
			luma[x] = toByte(19595*r + 38470*g + 7471*b)
			blue[x] = toByte(-11056*r - 21712*g + 32768*b + 128<<16)
			red[x] = toByte(32768*r - 27440*g - 5328*b + 128<<16)
		}
	}
}

func (c *pixelCanvas) paint(masked []*media.Frame) {
	size := c.pixels.Bounds().Size()
	c.mask = make([]byte, size.X*size.Y)
	for _, f := range masked {
		c.paintFrom(f)
	}
}

// paintFrom copies what is masked in a frame, and not yet in the frames before it, with the gain of the first view.
func (c *pixelCanvas) paintFrom(f *media.Frame) {
	gain := c.views[0].gain
	deep := func(to []byte, v byte) { binary.BigEndian.PutUint16(to, uint16(v)*257>>gain) }
	for i, m := range covered(f) {
		if m == 0 || c.mask[i] != 0 {
			continue
		}
		c.mask[i] = m
		luma, u, v := int(f.Planes[0].Data[i])<<16, int(f.Planes[1].Data[i])-128, int(f.Planes[2].Data[i])-128
		r, g, b := toByte(luma+91881*v), toByte(luma-22554*u-46802*v), toByte(luma+116130*u)
		switch p := c.pixels.(type) {
		case *image.Gray:
			p.Pix[i] = f.Planes[0].Data[i]
		case *image.Gray16:
			deep(p.Pix[2*i:], f.Planes[0].Data[i])
		case *image.NRGBA:
			copy(p.Pix[4*i:], []byte{r, g, b, 255})
		case *image.NRGBA64:
			for j, v := range []byte{r, g, b} {
				deep(p.Pix[8*i+2*j:], v)
			}
			copy(p.Pix[8*i+6:], []byte{255, 255})
		}
	}
}

func (c *pixelCanvas) encode(h *header, opts Options, tags []tag) ([]byte, error) {
	switch h.format {
	case PNG:
		return encodePNG(c.pixels, h, tags)
	case TIFF:
		return encodeTIFF(c.pixels, h, tags)
	case WebP:
		pixels, ok := c.pixels.(*image.NRGBA)
		if !ok {
			return nil, fmt.Errorf("%w: a WebP of %T", media.ErrUnsupported, c.pixels)
		}
		quality := lossless
		if h.lossy {
			quality = opts.WebPQuality
		}
		return encodeWebP(pixels, h, quality, tags)
	}
	return nil, fmt.Errorf("%w: format %s", media.ErrUnsupported, h.format)
}

func (c *pixelCanvas) differs(from canvas) (difference, error) {
	other, ok := from.(*pixelCanvas)
	if !ok || other.pixels.Bounds() != c.pixels.Bounds() {
		return difference{}, fmt.Errorf("%w: the output has another size", media.ErrVerification)
	}
	a, b := eightBits(c.pixels), eightBits(other.pixels)
	if len(a) != len(b) {
		return difference{}, fmt.Errorf("%w: the output is of %T instead of %T", media.ErrVerification,
			other.pixels, c.pixels)
	}
	each := len(a) / max(1, len(c.mask))
	mask := make([]byte, len(a))
	for i, m := range c.mask {
		for j := range each {
			mask[i*each+j] = m
			// Encoders may drop the colors of fully transparent pixels.
			if each%4 == 0 && transparent(a[i*each:(i+1)*each]) && transparent(b[i*each:(i+1)*each]) {
				b[i*each+j] = a[i*each+j]
			}
		}
	}
	var sum sums
	sum.add(a, b, mask)
	return sum.difference(), nil
}

// transparent reports whether all bytes of a pixel's alpha, its last quarter, are 0.
func transparent(pixel []byte) bool {
	for _, v := range pixel[len(pixel)/4*3:] {
		if v != 0 {
			return false
		}
	}
	return true
}

// eightBits returns all bytes of a picture's samples.
func eightBits(pixels draw.Image) []byte {
	switch p := pixels.(type) {
	case *image.Gray:
		return p.Pix
	case *image.Gray16:
		return p.Pix
	case *image.NRGBA:
		return p.Pix
	case *image.NRGBA64:
		return p.Pix
	}
	return nil
}
