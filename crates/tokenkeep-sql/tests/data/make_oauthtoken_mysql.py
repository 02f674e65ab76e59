# Fills the table of the vendor's guide in a real MariaDB through the DBStore of zohocrmsdk8_0 7.0.0 and
# mysql-connector-python: python make_oauthtoken_mysql.py PORT USER PASSWORD DATABASE. Then
# `mariadb-dump --compact --skip-extended-insert DATABASE oauthtoken` is oauthtoken_mysql.sql.
import sys
import mysql.connector
port, user, password, database = sys.argv[1:]
db = mysql.connector.connect(host='127.0.0.1', port=port, user=user, password=password, database=database)
cursor = db.cursor()
cursor.execute("CREATE TABLE oauthtoken (id varchar(10) NOT NULL, user_name varchar(255), client_id varchar(255), client_secret varchar(255), refresh_token varchar(255), access_token varchar(255), grant_token varchar(255), expiry_time varchar(20), redirect_url varchar(255), api_domain varchar(255), primary key (id))")
db.commit()
from zohocrmsdk.src.com.zoho.api.authenticator.oauth_token import OAuthToken
from zohocrmsdk.src.com.zoho.api.authenticator.store.db_store import DBStore
from zohocrmsdk.src.com.zoho.crm.api.user_signature import UserSignature
store = DBStore(host='127.0.0.1', port_number=port, user_name=user, password=password, database_name=database)
def save(user, **k):
    t = OAuthToken(client_id=k.pop('client_id'), client_secret=k.pop('client_secret', None), refresh_token=k.pop('refresh_token', None), access_token=k.pop('access_token', None), grant_token=k.pop('grant_token', None), redirect_url=k.pop('redirect_url', None))
    if user: t.set_user_signature(UserSignature(user))
    if 'expires_in' in k: t.set_expires_in(k['expires_in'])
    if 'api_domain' in k: t.set_api_domain(k['api_domain'])
    store.save_token(t)
save('ada@example.com', client_id='1000.A', client_secret='s1', refresh_token='1000.r1', access_token='1000.a1', redirect_url='https://app.example.com/cb?a=1,2', expires_in='1795000000000', api_domain='https://www.zohoapis.com')
save('grace@example.com', client_id='1000.A', client_secret='s1', grant_token='1000.g2')
save("o'hara@example.com", client_id='1000.A', client_secret='s1', refresh_token="1000.r'; DROP TABLE oauthtoken; --")
save(None, client_id='1000.C', client_secret='s3', refresh_token='1000.r4', access_token='1000.a4')
