// Copyright The otelcol-anonymizer Authors
// SPDX-License-Identifier: Apache-2.0

// Package picture reads still pictures as frames of the pipeline, and writes them masked in their own format: JPEG,
// PNG, WebP and TIFF. HEIC becomes JPEG.
//
//	file, err := picture.Read(path, limits) // its header
//	p, err := file.Decode(ctx, tools)
//	frames := p.Frames()                    // upright, for the pipeline to mask in place
//	err = p.Write(ctx, temp, frames, opts)  // encodes, reads that again, and compares
//
// Decoders are those of Go's standard library and of golang.org/x/image. Pictures come from anywhere, and these
// decoders are memory-safe: what a hostile file makes of them is an error, a panic (which Open turns into an error), or
// time and memory, which the header bounds before anything is decoded. So they need no process of their own, and a
// burst of pictures no process for each. Of HEIC, the boxes are read here, and their HEVC is decoded by media.Tools.
//
// What is written is made of pixels and of what is listed here, so that nothing else can pass: not a thumbnail, a
// second picture, a depth map, a comment, data after the end, or padding.
//   - Orientation (JPEG alone: the others are written upright), pixel density, and the tags that Options.Keep names.
//   - What colors depend on: an ICC profile, rebuilt of the parts that a conversion of colors uses (icc.go), and the
//     chunks of PNG that describe colors.
package picture
