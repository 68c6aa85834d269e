// Peers of the log that are written in Go, as a child of ./dev bench peers: `peers etcd|raftwal`.
//
// It reads one command a line and answers each with one line of JSON:
//
//	open DIR BATCH    makes a log; appends will be of BATCH records, durable before the next begins
//	run MILLIS MAX    appends until the time is over or MAX records are in: {"records":N,"seconds":S}
//	close             closes the log, opens it again, reads and checks every record: {"records":N}
package main

import (
	"bufio"
	"bytes"
	"errors"
	"fmt"
	"io"
	"os"
	"time"

	"github.com/hashicorp/go-hclog"
	"github.com/hashicorp/raft"
	raftwal "github.com/hashicorp/raft-wal"
	"github.com/hashicorp/raft-wal/metadb"
	etcdwal "go.etcd.io/etcd/server/v3/storage/wal"
	"go.etcd.io/etcd/server/v3/storage/wal/walpb"
	"go.etcd.io/raft/v3/raftpb"
	"go.uber.org/zap"
)

const (
	recordBytes = 256
	// Different records; a power of two.
	patterns = 1024
)

var records = makeRecords()

func makeRecords() [][]byte {
	all := make([][]byte, patterns)
	for i := range all {
		all[i] = make([]byte, recordBytes)
		for at := range all[i] {
			all[i][at] = byte(32 + (i*31+at*7)%95)
		}
	}
	return all
}

// A log under measurement. Records are numbered from 0.
type peer interface {
	open(dir string) error
	// append stores count records, the first of which has the number first, and returns when they are durable.
	append(first, count int) error
	// close closes the log and reads it again: the number of records that are there, each one checked.
	close() (int, error)
}

type etcd struct {
	dir     string
	wal     *etcdwal.WAL
	entries []*raftpb.Entry
}

func (p *etcd) open(dir string) (err error) {
	p.dir = dir
	p.wal, err = etcdwal.Create(zap.NewNop(), dir, nil)
	return err
}

func (p *etcd) append(first, count int) error {
	for len(p.entries) < count {
		p.entries = append(p.entries, &raftpb.Entry{Term: new(uint64(1)), Index: new(uint64(0))})
	}
	for i := range count {
		entry := p.entries[i]
		*entry.Index = uint64(first + i + 1)
		entry.Data = records[(first+i)%patterns]
	}
	return p.wal.Save(nil, p.entries[:count])
}

func (p *etcd) close() (int, error) {
	if err := p.wal.Close(); err != nil {
		return 0, err
	}
	start := &walpb.Snapshot{Index: new(uint64(0)), Term: new(uint64(0))}
	wal, err := etcdwal.OpenForRead(zap.NewNop(), p.dir, start)
	if err != nil {
		return 0, err
	}
	defer wal.Close()
	_, _, entries, err := wal.ReadAll()
	if err != nil {
		return 0, err
	}
	for i, entry := range entries {
		if entry.GetIndex() != uint64(i+1) || !bytes.Equal(entry.Data, records[i%patterns]) {
			return 0, fmt.Errorf("record %d is not what was appended", i)
		}
	}
	return len(entries), nil
}

type raftWal struct {
	dir  string
	wal  *raftwal.WAL
	meta *metadb.BoltMetaDB
	logs []*raft.Log
}

func (p *raftWal) open(dir string) error {
	p.dir = dir
	if err := os.Mkdir(dir, 0o755); err != nil {
		return err
	}
	return p.openAgain()
}

func (p *raftWal) openAgain() (err error) {
	// The usual one, held here because closing the log leaves it open, and locked.
	p.meta = &metadb.BoltMetaDB{}
	p.wal, err = raftwal.Open(p.dir, raftwal.WithMetaStore(p.meta), raftwal.WithLogger(hclog.NewNullLogger()))
	return err
}

func (p *raftWal) closeBoth() error {
	return errors.Join(p.wal.Close(), p.meta.Close())
}

func (p *raftWal) append(first, count int) error {
	for len(p.logs) < count {
		p.logs = append(p.logs, &raft.Log{Term: 1})
	}
	for i := range count {
		p.logs[i].Index = uint64(first + i + 1)
		p.logs[i].Data = records[(first+i)%patterns]
	}
	return p.wal.StoreLogs(p.logs[:count])
}

func (p *raftWal) close() (int, error) {
	if err := p.closeBoth(); err != nil {
		return 0, err
	}
	if err := p.openAgain(); err != nil {
		return 0, err
	}
	last, err := p.wal.LastIndex()
	if err != nil {
		return 0, err
	}
	var log raft.Log
	for index := uint64(1); index <= last; index++ {
		if err := p.wal.GetLog(index, &log); err != nil {
			return 0, err
		}
		if log.Index != index || !bytes.Equal(log.Data, records[(index-1)%patterns]) {
			return 0, fmt.Errorf("record %d is not what was appended", index-1)
		}
	}
	return int(last), p.closeBoth()
}

func serve(p peer, in io.Reader) error {
	appended, batch := 0, 0
	lines := bufio.NewScanner(in)
	for lines.Scan() {
		var verb, dir string
		var millis, most int
		line := lines.Text()
		fmt.Sscan(line, &verb)
		switch verb {
		case "open":
			if _, err := fmt.Sscan(line, &verb, &dir, &batch); err != nil {
				return fmt.Errorf("%q: %w", line, err)
			}
			if err := p.open(dir); err != nil {
				return err
			}
			appended = 0
			fmt.Println(`{}`)
		case "run":
			if _, err := fmt.Sscan(line, &verb, &millis, &most); err != nil {
				return fmt.Errorf("%q: %w", line, err)
			}
			first := appended
			start := time.Now()
			end := start.Add(time.Duration(millis) * time.Millisecond)
			for time.Now().Before(end) && appended-first < most {
				if err := p.append(appended, batch); err != nil {
					return err
				}
				appended += batch
			}
			fmt.Printf("{\"records\":%d,\"seconds\":%g}\n", appended-first, time.Since(start).Seconds())
		case "close":
			count, err := p.close()
			if err != nil {
				return err
			}
			fmt.Printf("{\"records\":%d}\n", count)
		default:
			return fmt.Errorf("no such command: %q", line)
		}
	}
	return lines.Err()
}

func main() {
	peers := map[string]peer{"etcd": &etcd{}, "raftwal": &raftWal{}}
	if len(os.Args) != 2 || peers[os.Args[1]] == nil {
		fmt.Fprintln(os.Stderr, "usage: peers etcd|raftwal")
		os.Exit(2)
	}
	if err := serve(peers[os.Args[1]], os.Stdin); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}
