// Copyright The otelcol-anonymizer Authors
// SPDX-License-Identifier: Apache-2.0

package picture

import (
	"bytes"
	"context"
	"encoding/binary"
	"fmt"
	"image"
	"math"
	"slices"
	"strings"

	"github.com/otelcol-anonymizer/otelcol-anonymizer/receiver/videoanonymizer/internal/media"
)

// A HEIC is a file of boxes (ISO/IEC 14496-12). Its items are pictures or parts of pictures, and references tell which
// items make up which (ISO/IEC 23008-12). The boxes are read here. ffmpeg gets only HEVC slices, and none of the boxes.

// heicHeader is what is needed to decode the picture of a HEIC.
type heicHeader struct {
	tiles         media.HEVCPictures
	columns, rows int
	coded         image.Point     // size of the assembled picture, which may be less than the tiles cover
	crop          image.Rectangle // the part of it that is shown
}

// readHEIC reads the boxes of the primary picture, and notes what else is in the file.
func (h *header) readHEIC(file []byte) error {
	meta, err := h.readTopLevel(file)
	if err != nil {
		return err
	}
	items, err := readItems(meta, file)
	if err != nil {
		return err
	}
	primary := items.of[items.primary]
	if primary == nil {
		return fmt.Errorf("%w: it has no primary picture: it may be a series, such as a burst", media.ErrUnsupported)
	}
	if err := h.readPrimary(items, primary); err != nil {
		return err
	}
	h.readOtherItems(items, primary)
	return nil
}

// readTopLevel returns the content of the meta box, which describes the items.
func (h *header) readTopLevel(file []byte) (meta []byte, err error) {
	for rest := file; len(rest) > 0; {
		b, after, ok := nextBox(rest)
		if !ok && meta == nil {
			return nil, fmt.Errorf("%w: it ends in a box", media.ErrDamaged)
		}
		if !ok {
			h.readAfter(rest)
			break
		}
		rest = after
		switch b.kind {
		case "meta":
			if meta != nil || len(b.body) < 4 {
				return nil, fmt.Errorf("%w: its boxes are not valid", media.ErrDamaged)
			}
			meta = b.body[4:]
		case "ftyp", "mdat", "free", "skip", "wide", "uuid":
		case "moov", "moof", "mpvd":
			h.leaveOut("a film")
		default:
			h.readAfter(b.body)
		}
	}
	if meta == nil {
		return nil, fmt.Errorf("%w: it is a series of pictures without a primary one", media.ErrUnsupported)
	}
	return meta, nil
}

// readPrimary reads the picture that a viewer shows.
func (h *header) readPrimary(items *heifItems, primary *heifItem) error {
	x := &h.heic
	size, err := primary.size()
	if err != nil {
		return err
	}
	x.coded, x.crop, x.columns, x.rows = size, image.Rectangle{Max: size}, 1, 1
	tiles := []*heifItem{primary}
	if primary.kind == "grid" {
		if tiles, err = h.readGrid(items, primary); err != nil {
			return err
		}
	}
	if err := h.readTiles(items, tiles); err != nil {
		return err
	}
	if x.tiles.Width*x.columns < size.X || x.tiles.Height*x.rows < size.Y ||
		x.tiles.Width*(x.columns-1) >= size.X || x.tiles.Height*(x.rows-1) >= size.Y {
		return fmt.Errorf("%w: its headers contradict each other: %d x %d pixels in %d x %d parts of %d x %d",
			media.ErrDamaged, size.X, size.Y, x.columns, x.rows, x.tiles.Width, x.tiles.Height)
	}
	if err := h.readTransforms(primary); err != nil {
		return err
	}
	h.readColors(primary, tiles[0])
	h.width, h.height = x.crop.Dx(), x.crop.Dy()
	orientation := h.orientation // that of EXIF repeats the one in the properties, or is wrong
	for _, id := range items.referring("cdsc", items.primary) {
		if data, err := items.data(id); err == nil && items.of[id].kind == "Exif" && len(data) > 4 {
			if at := uint64(binary.BigEndian.Uint32(data)) + 4; at < uint64(len(data)) {
				h.readEXIF(trimEXIF(data[at:]))
			}
		}
	}
	h.orientation = orientation
	return nil
}

// readGrid reads the item of a picture that is made of tiles, and returns the tiles.
func (h *header) readGrid(items *heifItems, primary *heifItem) (tiles []*heifItem, err error) {
	data, err := items.data(primary.id)
	if err != nil {
		return nil, err
	}
	f := &fields{data: data}
	f.take(1)
	wide := 2 + 2*int(f.take(1)&1)
	h.heic.rows, h.heic.columns = int(f.take(1))+1, int(f.take(1))+1
	size := image.Pt(int(f.take(wide)), int(f.take(wide)))
	ids := items.references("dimg", primary.id)
	if f.short || size != h.heic.coded || len(ids) != h.heic.rows*h.heic.columns {
		return nil, fmt.Errorf("%w: its headers contradict each other: %d parts of %d x %d, %v and %v pixels",
			media.ErrDamaged, len(ids), h.heic.columns, h.heic.rows, size, h.heic.coded)
	}
	for _, id := range ids {
		tile := items.of[id]
		if tile == nil {
			return nil, fmt.Errorf("%w: a part of it is missing", media.ErrDamaged)
		}
		if slices.ContainsFunc(tile.properties, func(p property) bool { return isTransform(p.kind) }) {
			return nil, fmt.Errorf("%w: parts that are turned or cropped: convert it to a JPEG yourself",
				media.ErrUnsupported)
		}
		tiles = append(tiles, tile)
	}
	return tiles, nil
}

const maxHEVCConfig = 64 << 10 // bytes; usually a few hundred

// readTiles reads the coded tiles, which must all have the same size and coding parameters.
func (h *header) readTiles(items *heifItems, tiles []*heifItem) error {
	x := &h.heic.tiles
	first := tiles[0]
	config, size := first.property("hvcC"), image.Point{}
	if len(config) > maxHEVCConfig {
		return fmt.Errorf("%w: parameter sets of more than %d bytes", media.ErrLimit, maxHEVCConfig)
	}
	for _, tile := range tiles {
		if tile.kind != "hvc1" {
			return fmt.Errorf("%w: a picture coded as %q instead of HEVC, as in AVIF: convert it to JPEG",
				media.ErrUnsupported, tile.kind)
		}
		if !bytes.Equal(tile.property("hvcC"), config) {
			return fmt.Errorf("%w: its parts are coded in different ways: convert it to JPEG", media.ErrUnsupported)
		}
		s, err := tile.size()
		if err != nil {
			return err
		}
		if tile != first && s != size {
			return fmt.Errorf("%w: its parts have different sizes", media.ErrDamaged)
		}
		size = s
	}
	x.Width, x.Height = size.X, size.Y
	lengthSize, parameters, err := readHEVCConfig(config)
	if err != nil {
		return err
	}
	x.Parameters = parameters
	for _, tile := range tiles {
		data, err := items.data(tile.id)
		if err != nil {
			return err
		}
		slices, err := items.readSlices(data, lengthSize)
		if err != nil {
			return err
		}
		x.Pictures = append(x.Pictures, slices)
	}
	return nil
}

// The NAL unit types that matter here (ITU-T H.265, table 7-1). Those below firstNonSlice are slices.
const (
	firstNonSlice      = 32
	nalVPS, nalSPS     = 32, 33
	nalPPS, nalShifted = 34, 1 // the type is the six bits after the first one
)

// readHEVCConfig returns the size of the length field before each NAL unit, and the parameter sets (ISO/IEC 14496-15,
// 8.3.3).
func readHEVCConfig(config []byte) (lengthSize int, parameters [][]byte, err error) {
	f := &fields{data: config}
	f.skip(21)
	lengthSize = int(f.take(1)&3) + 1
	sequences := 0
	for range f.take(1) {
		f.take(1)
		for range f.take(2) {
			if f.short {
				break
			}
			unit := f.bytes(int(f.take(2)))
			if len(unit) < 3 {
				continue
			}
			if hasStartCode(unit) {
				return 0, nil, errStartCode
			}
			switch unit[0] >> nalShifted & 63 {
			case nalSPS:
				sequences++
				parameters = append(parameters, unit)
			case nalVPS, nalPPS:
				parameters = append(parameters, unit)
			}
		}
	}
	switch {
	case f.short || sequences == 0:
		return 0, nil, fmt.Errorf("%w: its parameter sets are not valid", media.ErrDamaged)
	case sequences > 1: // so that all pictures have the size of the first
		return 0, nil, fmt.Errorf("%w: several sets of parameters: convert it to JPEG", media.ErrUnsupported)
	}
	return lengthSize, parameters, nil
}

// readSlices returns the NAL units of the slices of one picture.
func (s *heifItems) readSlices(data []byte, lengthSize int) (units [][]byte, err error) {
	f := &fields{data: data}
	pictures := 0
	for len(f.data) > 0 {
		if !s.more() {
			return nil, fmt.Errorf("%w: more NAL units than a picture can have", media.ErrLimit)
		}
		unit := f.bytes(int(f.take(lengthSize)))
		if f.short || len(unit) < 3 {
			return nil, fmt.Errorf("%w: a part of it is truncated", media.ErrDamaged)
		}
		if hasStartCode(unit) {
			return nil, errStartCode
		}
		layer := unit[0]&1<<5 | unit[1]>>3
		if unit[0]>>nalShifted&63 >= firstNonSlice || layer > 0 {
			continue
		}
		if unit[2]&0x80 != 0 { // the first slice of a picture
			pictures++
		}
		units = append(units, unit)
	}
	if pictures != 1 || units[0][2]&0x80 == 0 {
		return nil, fmt.Errorf("%w: %d pictures where there should be one", media.ErrDamaged, pictures)
	}
	return units, nil
}

var errStartCode = fmt.Errorf("%w: a start code in a NAL unit", media.ErrDamaged)

// hasStartCode reports whether a NAL unit contains the code that separates units in the stream for the decoder (ITU-T
// H.265, 7.4.2). The decoder would take it for several units, such as another picture, or parameter sets with another
// size.
func hasStartCode(unit []byte) bool {
	for i := 2; i < len(unit); i++ {
		if unit[i] <= 2 && unit[i-1] == 0 && unit[i-2] == 0 {
			return true
		}
	}
	return false
}

func isTransform(kind string) bool { return kind == "irot" || kind == "imir" || kind == "clap" }

// readTransforms reads how the picture is cropped, and then turned, for display.
func (h *header) readTransforms(primary *heifItem) error {
	var turned turn
	done := false
	for _, p := range primary.properties {
		f := &fields{data: p.body}
		switch p.kind {
		case "clap":
			crop, ok := readCrop(f, h.heic.coded)
			if !ok || done {
				return fmt.Errorf("%w: its crop is not valid, or follows a turn: convert it to JPEG", media.ErrUnsupported)
			}
			h.heic.crop = crop
		case "irot":
			for range f.take(1) & 3 {
				turned = turned.then(turns[8]) // 90 degrees counterclockwise
			}
		case "imir":
			if f.take(1)&1 == 0 {
				turned = turned.then(turn{mirrorY: true})
			} else {
				turned = turned.then(turn{mirrorX: true})
			}
		}
		done = done || isTransform(p.kind)
	}
	h.orientation = max(1, slices.Index(turns[:], turned))
	return nil
}

// readCrop reads a clean aperture: its size, and the offset of its center from the picture's, as fractions.
func readCrop(f *fields, size image.Point) (crop image.Rectangle, ok bool) {
	fraction := func() float64 {
		n, d := int32(f.take(4)), int32(f.take(4))
		return float64(n) / float64(d)
	}
	w, h, x, y := fraction(), fraction(), fraction(), fraction()
	left, top := x+(float64(size.X)-w)/2, y+(float64(size.Y)-h)/2
	if !(math.Abs(left)+math.Abs(top)+math.Abs(w)+math.Abs(h) < math.MaxInt32) { // also false for NaN
		return crop, false
	}
	corner := image.Pt(int(math.Floor(left+0.5)), int(math.Floor(top+0.5)))
	crop = image.Rectangle{Min: corner, Max: corner.Add(image.Pt(int(w+0.5), int(h+0.5)))}
	// Chroma samples begin at even pixels. Rather drop a row or column than show one that was cropped.
	crop.Min.X += crop.Min.X & 1
	crop.Min.Y += crop.Min.Y & 1
	return crop, !f.short && !crop.Empty() && crop.In(image.Rectangle{Max: size})
}

// readColors reads the color properties of the picture, which only its tiles may have.
func (h *header) readColors(primary, tile *heifItem) {
	for _, p := range slices.Concat(primary.properties, tile.properties) {
		if p.kind != "colr" || len(p.body) < 4 {
			continue
		}
		switch kind, body := string(p.body[:4]), p.body[4:]; {
		case (kind == "prof" || kind == "rICC") && h.profile == nil:
			h.profile = body
		case kind == "nclx" && len(body) >= 7 && h.heic.tiles.Colors == nil:
			h.heic.tiles.Colors = &media.HEVCColors{
				Primaries: binary.BigEndian.Uint16(body), Transfer: binary.BigEndian.Uint16(body[2:]),
				Matrix: binary.BigEndian.Uint16(body[4:]), FullRange: body[6]&0x80 != 0,
			}
		}
	}
}

// xmpType is the media type of XMP.
const xmpType = "application/rdf+xml"

// readOtherItems notes what is in the file other than the primary picture and its thumbnails and metadata.
func (h *header) readOtherItems(items *heifItems, primary *heifItem) {
	known := map[uint32]bool{primary.id: true}
	var include func(id uint32)
	include = func(id uint32) {
		known[id] = true
		for _, part := range items.references("dimg", id) {
			if !known[part] {
				include(part)
			}
		}
	}
	include(primary.id)
	for _, id := range items.referring("thmb", primary.id) {
		include(id)
	}
	for _, circles := range []bool{false, true} { // the second pass takes the items that no picture leads to
		for _, item := range items.all() {
			switch {
			case known[item.id], item.kind == "Exif", item.content == xmpType:
			case len(items.references("auxl", item.id)) > 0:
				include(item.id)
				h.leaveOut(describeAuxiliary(item))
			case item.kind == "tmap":
				include(item.id)
				h.leaveOut("a gain map")
			case item.kind == "mime", item.kind == "uri ":
				h.leaveOut("data other than pictures")
			case circles || len(items.referring("dimg", item.id)) == 0: // otherwise it is part of another picture
				include(item.id)
				h.leaveOut("more pictures, such as those of a burst")
			}
		}
	}
}

func describeAuxiliary(item *heifItem) string {
	kind := strings.ToLower(string(item.property("auxC")))
	switch {
	case strings.Contains(kind, "alpha"), strings.Contains(kind, "auxid:1"):
		return "transparency"
	case strings.Contains(kind, "depth"), strings.Contains(kind, "disparity"), strings.Contains(kind, "auxid:2"):
		return "a depth map"
	case strings.Contains(kind, "gainmap"):
		return "a gain map"
	}
	return "an auxiliary picture, such as a mask"
}

// decodeHEIC decodes the tiles and assembles them.
func decodeHEIC(ctx context.Context, h *header, tools media.Tools, limits media.Limits) (canvas, error) {
	x := &h.heic
	x.tiles.Profile = h.profile != nil
	var whole *heicPlanes
	err := tools.DecodeHEVC(ctx, x.tiles, limits, func(tile *media.Frame) error {
		if whole == nil {
			whole = newHEICPlanes(tile.Format, x.coded)
		}
		return whole.put(tile, tile.Index%x.columns, tile.Index/x.columns)
	})
	if err != nil {
		return nil, err
	}
	shown := whole.image(x.crop)
	if err := h.checkSize(shown.Bounds().Size()); err != nil {
		return nil, err
	}
	h.jpeg.components = []jpegComponent{{table: 0}, {table: 1}, {table: 1}} // numbers of quantTables
	c, err := newJPEGCanvas(shown, h)
	return heicCanvas{c}, err
}

// heicPlanes are the planes of a picture whose tiles are being decoded.
type heicPlanes struct {
	*media.Frame
}

func newHEICPlanes(format media.PixelFormat, size image.Point) *heicPlanes {
	f := &media.Frame{Width: size.X, Height: size.Y, Format: format}
	for i := range format.AllPlanes() {
		w, h := format.PlaneSize(i, size.X, size.Y)
		f.Planes[i] = media.Plane{Data: make([]byte, w*h), Width: w, Height: h}
	}
	return &heicPlanes{f}
}

// put copies a tile to a column and a row. What exceeds the picture is cut off.
func (p *heicPlanes) put(tile *media.Frame, column, row int) error {
	for i := range p.Format.AllPlanes() {
		to, from := p.Planes[i], tile.Planes[i]
		x, y := column*tile.Width, row*tile.Height
		if p.Format.IsChroma(i) {
			if x&(1<<p.Format.ChromaShiftX-1) != 0 || y&(1<<p.Format.ChromaShiftY-1) != 0 {
				return fmt.Errorf("%w: parts of odd sizes: convert it to JPEG", media.ErrUnsupported)
			}
			x, y = x>>p.Format.ChromaShiftX, y>>p.Format.ChromaShiftY
		}
		for r := range min(from.Height, to.Height-y) {
			n := min(from.Width, to.Width-x)
			copy(to.Data[(y+r)*to.Width+x:][:n], from.Data[r*from.Width:])
		}
	}
	return nil
}

// image returns the part of the picture that is shown.
func (p *heicPlanes) image(crop image.Rectangle) image.Image {
	all := image.Rect(0, 0, p.Width, p.Height)
	if p.Format.Planes == 1 {
		gray := image.Gray{Pix: p.Planes[0].Data, Stride: p.Planes[0].Width, Rect: all}
		return gray.SubImage(crop)
	}
	ratio := image.YCbCrSubsampleRatio444
	switch {
	case p.Format.ChromaShiftY > 0:
		ratio = image.YCbCrSubsampleRatio420
	case p.Format.ChromaShiftX > 0:
		ratio = image.YCbCrSubsampleRatio422
	}
	colored := image.YCbCr{Y: p.Planes[0].Data, Cb: p.Planes[1].Data, Cr: p.Planes[2].Data,
		YStride: p.Planes[0].Width, CStride: p.Planes[1].Width, SubsampleRatio: ratio, Rect: all}
	return colored.SubImage(crop)
}

// heicCanvas is the canvas of a HEIC, which is written as a JPEG with the quality in Options.
type heicCanvas struct{ *jpegCanvas }

func (c heicCanvas) encode(h *header, opts Options, tags []tag) ([]byte, error) {
	c.quant = quantTables(opts.JPEGQuality)
	return c.jpegCanvas.encode(h, opts, tags)
}
