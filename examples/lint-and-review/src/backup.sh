# Makes a copy of the data.
set -eu
day=$(date +%F) 
tar czf "/backup/$day.tar.gz" /data
find /backup -mtime +30 -exec rm -r {} +
